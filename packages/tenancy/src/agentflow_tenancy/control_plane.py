"""Transactions of the control plane, and the audit log that is written in them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.queries import QUERIES

NEWEST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something.

    Attributes:
        name: `operator`, `key:<id>`, or `system` for this program itself.
        address: Where the request came from, if it was one.
    """

    name: str
    address: str | None = None
    request_id: str | None = None


SYSTEM: Final = Actor("system")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change."""

    audit_id: int
    at: datetime
    tenant_id: uuid.UUID | None
    actor: str
    action: str
    target: str
    details: dict[str, Any]
    address: str | None
    request_id: str | None


class Transaction:
    """One transaction's statements."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Use an open connection."""
        self._connection = connection

    async def one(self, name: str, /, **values: Any) -> RowMapping | None:
        """The row that a statement gives, if it gives one."""
        return (await self._connection.execute(QUERIES[name], values)).mappings().one_or_none()

    async def all(self, name: str, /, **values: Any) -> Sequence[RowMapping]:
        """Every row that a statement gives."""
        return (await self._connection.execute(QUERIES[name], values)).mappings().all()

    async def execute(self, name: str, /, **values: Any) -> None:
        """Run a statement that gives no rows."""
        await self._connection.execute(QUERIES[name], values)

    async def note(
        self,
        actor: Actor,
        action: str,
        target: str,
        tenant_id: uuid.UUID | None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the audit log, as part of this transaction. Details hold no secrets."""
        await self.execute(
            "note",
            tenant_id=tenant_id,
            actor=actor.name,
            action=action,
            target=target,
            details=json.dumps(details or {}, default=str),
            address=actor.address,
            request_id=actor.request_id,
        )


class ControlPlane:
    """Where repositories get their transactions."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def run[T](self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """One transaction, tried once more on a new connection when the first was lost.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        try:
            return await self._once(work)
        except StoreUnavailableError:
            # The pool may hold connections of a server that was restarted; the next one is new.
            return await self._once(work)

    async def _once[T](self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        with translated():
            async with self._engine.begin() as connection:
                return await work(Transaction(connection))


class AuditLog:
    """Reads what was changed."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._plane = ControlPlane(engine)

    async def page(
        self, tenant_id: uuid.UUID | None, *, before: int = NEWEST, limit: int = 100
    ) -> list[AuditEntry]:
        """Changes, newest first: of one tenant, or with None of all and of what is no tenant's."""
        rows = await self._plane.run(
            lambda transaction: transaction.all("audit_log", tenant_id=tenant_id, before=before, most=limit)
        )
        return [AuditEntry(**{**row, "details": as_json(row["details"])}) for row in rows]


def as_json(value: Any) -> Any:
    """A jsonb column, which the driver gives as text."""
    return json.loads(value) if isinstance(value, str) else value
