"""Adds usage events to their hours."""

import asyncio
import logging

from agentflow.errors import StorageError
from agentflow_tenancy import UsageRepository

logger = logging.getLogger("agentflow.worker")


class UsageRoller:
    """Rolls up until it is told to stop; an outage is waited out.

    Often, though the rows are hours: what is not rolled up yet is added up by whoever asks.
    """

    def __init__(self, repository: UsageRepository, *, every_s: float) -> None:
        """Nothing runs yet."""
        self._repository = repository
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Roll up now and at intervals until `stop` is set."""
        while not stop.is_set():
            try:
                rolled = await self._repository.roll_up()
            except StorageError as error:
                logger.warning("No usage was rolled up this time: %s", error)
            else:
                if rolled:
                    logger.info("Rolled up %d usage events.", rolled)
            try:
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
            except TimeoutError:
                continue
