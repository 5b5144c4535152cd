"""Drops empty partitions that could not be dropped when their tenants left."""

import asyncio
import logging

from agentflow.errors import StorageError
from agentflow_tenancy.moves import Mover

logger = logging.getLogger("agentflow.worker")


class PartitionJanitor:
    """Looks at intervals: somebody's long transaction that was in the way has ended by then."""

    def __init__(self, mover: Mover, *, every_s: float) -> None:
        """Nothing is dropped yet.

        Args:
            mover: Knows which are left over, and drops them.
            every_s: Seconds between two looks.
        """
        self._mover = mover
        self._every_s = every_s

    async def tidy(self) -> int:
        """Drop what can be; how many placements were.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        dropped = 0
        for placement in await self._mover.left_over():
            if await self._mover.clean(placement):
                dropped += 1
                logger.info("The empty partitions of placement %d are dropped.", placement)
        return dropped

    async def run(self, stop: asyncio.Event) -> None:
        """Tidy now and at intervals until `stop` is set; an outage is waited out."""
        while not stop.is_set():
            try:
                await self.tidy()
            except StorageError as error:
                logger.warning("Partitions were not tidied this time: %s", error)
            try:
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
            except TimeoutError:
                continue
