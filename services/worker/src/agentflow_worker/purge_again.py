"""Looks after tenants that left: what a process that stood still puts somewhere afterwards goes, too."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from agentflow.errors import StorageError
from agentflow_hosting.tickets import rest
from agentflow_tenancy.offboarding import OffboardingRepository, Place, Subject

logger = logging.getLogger("agentflow.worker")

# Redis forgets the state of a thread that nobody asks for after an hour.
WITHIN_S: Final = 3600.0
_EVERY_S: Final = 30.0


class PurgeAgain:
    """Purges the places beside the tables again and again, for a while after each receipt.

    The tables need none of this: their fence refuses what comes late. Redis has no fence that holds for a
    process which stood still between its last commit and telling the cache of it.
    """

    def __init__(
        self,
        repository: OffboardingRepository,
        places: Sequence[Place],
        *,
        within_s: float = WITHIN_S,
        every_s: float = _EVERY_S,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            repository: Knows who left.
            places: Those of the offboardings.
            within_s: For how long a tenant is looked after.
            every_s: Seconds between two passes.
        """
        self._repository = repository
        self._places = places
        self._within_s = within_s
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Look now and then until `stop` is set; an outage is waited out."""
        while not stop.is_set():
            try:
                await self.look()
            except StorageError as error:
                logger.warning("Tenants that left were not looked after this time: %s", error)
            await rest(stop, self._every_s)

    async def look(self) -> int:
        """One pass; how much came late, and is gone.

        Raises:
            StoreUnavailableError: A place does not answer.

        Cost: a pass over Redis for each tenant that left lately; one query when there is none.
        """
        late = 0
        for tenant_id in await self._repository.recently_gone(self._within_s):
            for place in self._places:
                if found := await place.purge(Subject(tenant_id, "")):
                    logger.warning("%d came late to %s after a receipt, and went.", found, place.name)
                    late += found
        return late
