"""Has tenants moved that are too large for the pool, or small again."""

import asyncio
import logging

from agentflow.errors import StorageError
from agentflow_tenancy import TenantRepository
from agentflow_tenancy.control_plane import Actor
from agentflow_tenancy.errors import MoveConflictError
from agentflow_tenancy.moves import MovePolicy, OperationRepository

logger = logging.getLogger("agentflow.worker")

_POLICY = Actor("policy")


class MovePlanner:
    """Looks at sizes at intervals and asks for moves, a few at a time."""

    def __init__(
        self,
        tenants: TenantRepository,
        operations: OperationRepository,
        policy: MovePolicy,
        *,
        every_s: float,
        most_at_once: int = 1,
    ) -> None:
        """Nothing is asked for yet.

        Args:
            tenants, operations: Of a login that sees every tenant.
            policy: Says who should move.
            every_s: Seconds between two looks.
            most_at_once: So many moves may be open for this planner to ask for another.
        """
        self._tenants = tenants
        self._operations = operations
        self._policy = policy
        self._every_s = every_s
        self._most_at_once = most_at_once

    async def plan(self) -> int:
        """Ask for the moves that are due; how many.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        sizes = await self._operations.tenant_sizes()
        room = self._most_at_once - sum(size.is_moving for size in sizes)
        partitions = await self._operations.partition_sizes()
        asked = 0
        for proposal in self._policy.proposals(sizes, partitions)[: max(0, room)]:
            tenant = await self._tenants.find_tenant(proposal.size.slug)
            if tenant is None:
                continue
            try:
                await self._operations.request(tenant, proposal.target, actor=_POLICY, reason=proposal.reason)
            except MoveConflictError:
                continue
            asked += 1
            logger.info("Tenant %s is to move: %s.", tenant.slug, proposal.reason)
        return asked

    async def run(self, stop: asyncio.Event) -> None:
        """Plan now and at intervals until `stop` is set; an outage is waited out."""
        while not stop.is_set():
            try:
                await self.plan()
            except StorageError as error:
                logger.warning("No moves were planned this time: %s", error)
            try:
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
            except TimeoutError:
                continue
