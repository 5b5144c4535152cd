"""Where tenants' threads are: the scope says it, unless the tenant has moved since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from agentflow.errors import TenantGoneError
from agentflow.storage.checkpointer.driver_statements import Statements
from agentflow.storage.checkpointer.queries import behind_tenants
from agentflow.storage.checkpointer.types import STANDALONE_TENANT, Scope

# Below zero `creates_in` is the moment of a move in which nobody may make a thread.
NOWHERE: Final = -1
# And this for good: the tenant was offboarded.
GONE: Final = -(2**31)

# Where threads are looked for, and where they are made.
type View = tuple[tuple[int, ...], int]


@dataclass(frozen=True, slots=True)
class Where:
    """A tenant's row of `agentflow_placements`.

    Attributes:
        moving_to: Some of its threads may be there already.
        creates_in: Where new threads go; NOWHERE or less for nowhere.
    """

    placement: int
    moving_to: int | None
    creates_in: int


class Placements:
    """What this process knows of tenants that moved. It may be old: statements find that out by themselves.

    A thread that is looked for in too few places is missed, which is when to `learn`. A thread is never
    made in the wrong place, because the statement that makes it compares `creates_in`.
    """

    def __init__(self, statements: Statements) -> None:
        """Nothing is known yet."""
        self._statements = statements
        self._known: dict[UUID, Where] = {}

    def look(self, scope: Scope) -> tuple[int, ...]:
        """Every placement that may hold threads of the scope's tenant; the likeliest first."""
        known = self._known.get(scope.tenant_id)
        if known is None and scope.moving_to is None:
            return (scope.placement,)
        places = [scope.placement, scope.moving_to]
        if known is not None:
            places = [known.placement, known.moving_to, *places]
        return tuple(dict.fromkeys(place for place in places if place is not None))

    def look_for_all(self, scopes: Iterable[Scope]) -> tuple[int, ...]:
        """The same for several tenants."""
        return tuple(dict.fromkeys(place for scope in scopes for place in self.look(scope)))

    def creates_in(self, scope: Scope) -> int:
        """Where a new thread goes."""
        known = self._known.get(scope.tenant_id)
        if known is not None and known.creates_in > NOWHERE:
            return known.creates_in
        return scope.placement if scope.moving_to is None else scope.moving_to

    def is_nowhere(self, scope: Scope) -> bool:
        """Whether nobody may make a thread of the tenant at this moment."""
        known = self._known.get(scope.tenant_id)
        return known is not None and known.creates_in <= NOWHERE

    def is_moving(self, scope: Scope) -> bool:
        """Whether the tenant's threads are in two places, as far as is known."""
        known = self._known.get(scope.tenant_id)
        return (scope.moving_to if known is None else known.moving_to) is not None

    def view(self, scope: Scope) -> View:
        """What is known now: taken before a statement is sent, it tells later whether that knew enough."""
        return self.look(scope), self.creates_in(scope)

    async def learn_more(self, scope: Scope, than: View) -> bool:
        """Ask where the tenant is; whether that is news to who knew this. One round trip.

        What is known here is shared: another task may have learned it since, which makes it no less news.

        Raises:
            What `Statements.fetch` raises.
        """
        await self.learn(scope)
        return self.view(scope) != than

    async def learn(self, scope: Scope) -> None:
        """Ask where the tenant is. One round trip.

        A tenant of the library's own has no name and never moves.

        Raises:
            TenantGoneError: It was offboarded.
            What `Statements.fetch` raises.
        """
        if scope.tenant_id == STANDALONE_TENANT:
            return
        rows = await self._statements.fetch_text(
            behind_tenants("placement_of", ()), scope.placement, scope.tenant_id
        )
        if rows:
            where = Where(*rows[0])
            if where.creates_in == GONE:
                raise TenantGoneError("This tenant was offboarded: nothing more is stored for it.")
            self._known[scope.tenant_id] = where
        else:
            self._known.pop(scope.tenant_id, None)
