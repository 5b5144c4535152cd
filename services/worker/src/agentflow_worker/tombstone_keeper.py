"""Keeps the file of tombstones whole: what was issued before there was one, or by who did not know it."""

import asyncio
import logging
import uuid

from agentflow.errors import StorageError
from agentflow_hosting.tickets import rest
from agentflow_tenancy.tombstones import BadTombstonesError, TombstoneFile, TombstoneRepository

logger = logging.getLogger("agentflow.worker")


class TombstoneKeeper:
    """Looks until it is told to stop; an outage is waited out."""

    def __init__(self, repository: TombstoneRepository, file: TombstoneFile, *, every_s: float) -> None:
        """Nothing is looked at yet."""
        self._repository = repository
        self._file = file
        self._every_s = every_s
        self._stamp: tuple[int, ...] | None = None
        self._known: set[uuid.UUID] = set()

    async def catch_up(self) -> int:
        """Append what the database has and the file lacks; how many that were.

        Raises:
            StoreUnavailableError: Postgres does not answer.
            BadTombstonesError: The file has a line that is none; nothing was appended.
            OSError: The file cannot be read or written.
        """
        await asyncio.to_thread(self._look)
        missing = await self._repository.receipt_ids() - self._known
        if missing:
            found = [one for one in await self._repository.all() if one.receipt_id in missing]
            await asyncio.to_thread(self._file.append, found)
        return len(missing)

    async def run(self, stop: asyncio.Event) -> None:
        """Catch up now and at intervals until `stop` is set."""
        while not stop.is_set():
            try:
                if caught_up := await self.catch_up():
                    logger.info("Wrote %d tombstones that the file lacked.", caught_up)
            except (StorageError, OSError, BadTombstonesError) as error:
                logger.warning("The file of tombstones was not looked after this time: %s", error)
            await rest(stop, self._every_s)

    def _look(self) -> None:
        stamp = self._file.stamp()
        if stamp is None or stamp != self._stamp:
            self._known = {one.receipt_id for one in self._file.read()}
            self._stamp = stamp
