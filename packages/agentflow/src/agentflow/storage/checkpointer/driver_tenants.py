"""Sending the statements of one tenant: to where its threads are, and under row level security."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from agentflow.storage.checkpointer.driver_statements import Statements
from agentflow.storage.checkpointer.placements import Placements, View
from agentflow.storage.checkpointer.queries import (
    SHOW_TENANTS,
    behind_tenants,
    located,
    only_reads,
    shows_tenants,
)
from agentflow.storage.checkpointer.types import STANDALONE_TENANT, Scope


class TenantStatements:
    """The statements whose `$1` is the placement and `$2` the tenant, of one event loop.

    Attributes:
        placements: Where to look.
        is_shown_all: Whether this role sees every row anyhow (the tables' owner, a superuser). Otherwise
        each statement
            says whose rows it wants: readers in the same round trip, those that update or delete in a
            transaction.
    """

    def __init__(self, statements: Statements) -> None:
        """Nothing is sent yet."""
        self._statements = statements
        self.placements = Placements(statements)
        self.is_shown_all = False

    async def ask(self, scope: Scope, name: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement wherever threads of the tenant may be, and once more if it has moved meanwhile.

        One round trip when rows come back. None coming back costs one more, but for the nameless tenant of
        the library used alone.

        Raises:
            What `Statements.fetch` raises.
        """
        before = self.placements.view(scope)
        rows = await self.ask_once(scope, name, *arguments)
        if rows or not await self.has_moved(scope, before, waits=not only_reads(name)):
            return rows
        return await self.ask_once(scope, name, *arguments)

    async def has_moved(self, scope: Scope, before: View, *, waits: bool) -> bool:
        """Whether to look again for a thread that was not found. One round trip.

        Args:
            scope: Whose thread it is.
            before: What was known when the look began.
            waits: Whether the look waited for whoever held the thread's row. If that was a mover, the row was
                gone then, and the one that came into being elsewhere was too young to be seen: what
                only reads sees one or the other.
        """
        return await self.placements.learn_more(scope, before) or (waits and self.placements.is_moving(scope))

    async def ask_all(self, scope: Scope, name: str, *arguments: Any) -> list[asyncpg.Record]:
        """The same for what looks over all threads. Learns first: too few rows look like enough."""
        if scope.tenant_id != STANDALONE_TENANT:
            await self.placements.learn(scope)
        return await self.ask_once(scope, name, *arguments)

    async def ask_once(self, scope: Scope, name: str, *arguments: Any) -> list[asyncpg.Record]:
        """The same without another look."""
        at = self.placements.look(scope)
        return await self._send(name, at, [scope], scope.placement, scope.tenant_id, *arguments)

    async def ask_several(self, scopes: Sequence[Scope], name: str, *arguments: Any) -> list[asyncpg.Record]:
        """A reading statement over several tenants: `$2` are their ids."""
        at = self.placements.look_for_all(scopes)
        tenants = [scope.tenant_id for scope in scopes]
        return await self._send(name, at, scopes, scopes[0].placement, tenants, *arguments)

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncGenerator[asyncpg.Connection[Any]]:
        """A connection in a transaction that is shown the tenant's rows. Three round trips more.

        Raises:
            What `Statements.fetch` raises, without trying again.
        """
        async with self._statements.transaction() as driver:
            await driver.fetchval(SHOW_TENANTS, shown([scope]))
            yield driver

    async def _send(
        self, name: str, at: tuple[int, ...], scopes: Sequence[Scope], *arguments: Any
    ) -> list[asyncpg.Record]:
        if self.is_shown_all or shows_tenants(name):
            return await self._statements.fetch_text(located(name, at), *arguments)
        if only_reads(name):
            return await self._statements.fetch_text(behind_tenants(name, at), *arguments)
        return await self._statements.fetch_text(located(name, at), *arguments, shown=shown(scopes))


def shown(scopes: Sequence[Scope]) -> str:
    """Tenants as the setting names them."""
    return "{" + ",".join(str(tenant) for tenant in {scope.tenant_id for scope in scopes}) + "}"
