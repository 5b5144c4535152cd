"""Clears the folder of archives of what crashes left in it."""

import asyncio
import logging

from agentflow.errors import StorageError
from agentflow_hosting.tickets import rest
from agentflow_tenancy.exports import Leftovers

logger = logging.getLogger("agentflow.worker")


class LeftoverSweeper:
    """Sweeps until it is told to stop; an outage is waited out."""

    def __init__(self, leftovers: Leftovers, *, every_s: float) -> None:
        """Nothing runs yet."""
        self._leftovers = leftovers
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep now and at intervals until `stop` is set."""
        while not stop.is_set():
            try:
                if dropped := await self._leftovers.sweep():
                    logger.info("Deleted %d files that no export and no import needs.", dropped)
            except (StorageError, OSError) as error:
                logger.warning("The folder of archives was not swept this time: %s", error)
            await rest(stop, self._every_s)
