"""Forgets what runs did: a while after their end, and once their thread is gone."""

import asyncio
import logging
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError
from agentflow_hosting.tickets import rest
from agentflow_hosting.trace_repository import TraceRepository

logger = logging.getLogger("agentflow.worker")


class TraceSweeper:
    """Sweeps until it is told to stop; an outage is waited out."""

    def __init__(self, engine: AsyncEngine, *, every_s: float, keep_s: float) -> None:
        """Nothing runs yet.

        Args:
            engine: Of the login that sees every tenant.
            every_s: Seconds between two sweeps.
            keep_s: How long what a run did is kept after its end.
        """
        self._traces = TraceRepository(engine)
        self._every_s = every_s
        self._keep_s = keep_s
        self._seen: dict[str, Any] | None = None

    async def sweep(self) -> int:
        """Make the days to come, drop those that are old, and forget of the next thousand what has no thread.

        Returns:
            How many were forgotten beside the days.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        await self._traces.make_days()
        if dropped := await self._traces.drop_days(self._keep_s):
            logger.info("Dropped %d days of what runs did.", dropped)
        without_thread, self._seen = await self._traces.forget_without_thread(self._seen)
        return without_thread

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep now and at intervals until `stop` is set."""
        while not stop.is_set():
            try:
                if forgotten := await self.sweep():
                    logger.info("Forgot what %d runs without a thread did.", forgotten)
            except StorageError as error:
                logger.warning("No traces were forgotten this time: %s", error)
            await rest(stop, self._every_s)
