"""Deletes threads past their time, forgets old versions, packs what is idle."""

import asyncio
import logging
from datetime import timedelta

from agentflow.errors import StorageError
from agentflow.storage.checkpointer import BaseCheckpointer
from agentflow_worker.retention_sweep import RetentionSweep

logger = logging.getLogger("agentflow.worker")


class Sweeper:
    """Sweeps until it is told to stop; an outage is waited out."""

    def __init__(
        self,
        checkpointer: BaseCheckpointer,
        retention: RetentionSweep,
        *,
        every_s: float,
        keep_checkpoints: int | None = None,
        pack_after: timedelta = timedelta(minutes=10),
    ) -> None:
        """Nothing runs yet.

        Args:
            checkpointer: Whose threads to sweep.
            retention: Deletes those that are due, in the same database.
            every_s: Seconds between two sweeps.
            keep_checkpoints: How many versions of a thread to keep, of every tenant; None leaves it to them.
            pack_after: How long a thread must be left alone before its versions are packed or forgotten.
        """
        self._checkpointer = checkpointer
        self._every_s = every_s
        self._retention = retention
        self._keep_checkpoints = keep_checkpoints
        self._pack_after = pack_after

    async def sweep(self) -> int:
        """One sweep, in batches of their own transactions.

        Returns:
            How many threads were deleted.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        deleted = (await self._retention.delete()).threads
        if deleted:
            logger.info("Deleted %d expired threads.", deleted)
        forgotten = await self._retention.forget(self._checkpointer, self._pack_after)
        if forgotten:
            logger.info("Forgot versions of %d threads that their tenants do not keep.", forgotten)
        if self._keep_checkpoints is not None:
            pruned = await self._checkpointer.prune(
                keep_last=self._keep_checkpoints, idle_for=self._pack_after
            )
            logger.info("Forgot old versions of %d threads.", pruned)
        packed = await self._checkpointer.pack_idle(idle_for=self._pack_after)
        if packed:
            logger.info("Packed %d idle threads.", packed)
        return deleted

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep now and at intervals until `stop` is set."""
        while not stop.is_set():
            try:
                await self.sweep()
            except StorageError as error:
                logger.warning("No sweep this time: %s", error)
            try:
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
            except TimeoutError:
                continue
