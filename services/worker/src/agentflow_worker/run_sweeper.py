"""Forgets what runs said, later the runs, and what was kept for repeated requests."""

import asyncio
import logging

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError
from agentflow_hosting.idempotency import IdempotencyKeys
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.tickets import forget_tickets, rest

logger = logging.getLogger("agentflow.worker")

_KEEP_TICKET_LOG_S = 24 * 3600.0


class RunSweeper:
    """Sweeps until it is told to stop; an outage is waited out."""

    def __init__(
        self, engine: AsyncEngine, *, every_s: float, keep_chunks_s: float, keep_runs_s: float
    ) -> None:
        """Nothing runs yet.

        Args:
            engine: Of the login that owns the tables.
            every_s: Seconds between two sweeps.
            keep_chunks_s: How long what a run said is kept after its end.
            keep_runs_s: How long a run is.
        """
        self._engine = engine
        self._runs = RunRepository(engine)
        self._keys = IdempotencyKeys(engine)
        self._every_s = every_s
        self._keep_chunks_s = keep_chunks_s
        self._keep_runs_s = keep_runs_s

    async def sweep(self) -> int:
        """One sweep; how many runs were cleared.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        cleared = await self._runs.forget_old(
            chunks_after_s=self._keep_chunks_s, runs_after_s=self._keep_runs_s
        )
        if cleared:
            logger.info("Cleared %d runs.", cleared)
        await self._keys.forget()
        await forget_tickets(self._engine, older_than_s=_KEEP_TICKET_LOG_S)
        return cleared

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep now and at intervals until `stop` is set."""
        while not stop.is_set():
            try:
                await self.sweep()
            except StorageError as error:
                logger.warning("No runs were cleared this time: %s", error)
            await rest(stop, self._every_s)
