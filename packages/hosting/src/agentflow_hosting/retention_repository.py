"""Retention in the database: finding what is due, deleting it, and weighing it beforehand."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_hosting.queries import QUERIES
from agentflow_hosting.retention import DuePage, LongPage, LongThread, Swept, ThreadKey, Weighed

_WEIGHED: Final = tuple(one.name for one in fields(Weighed))


class RetentionRepository:
    """What there is to delete, and deleting it. Each method is one transaction, on the database's clock.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine, retention: timedelta | None = None) -> None:
        """Use an engine of this event loop.

        Args:
            engine: Of the login that owns the tables, which deletes from their leaves; for `weigh` alone any
                will do.
            retention: Threads of every tenant that did not change for so long are due; the shorter of this
                and the tenant's own counts. None leaves it to the tenants.
        """
        self._engine = engine
        self._retention_s = None if retention is None else retention.total_seconds()

    async def placements(self) -> list[int]:
        """The placements that there are."""
        async with _transaction(self._engine) as connection:
            return [row["placement"] for row in await _rows(connection, "placements_of_threads", {})]

    async def due(self, placement: int, after: ThreadKey, most: int) -> DuePage:
        """Those of a placement's next threads whose time is over. Some of them may have to stay.

        Cost: a look at each of the threads, in the order of their key.
        """
        values = {"placement": placement, **_key(after), "most": most, "retention_s": self._retention_s}
        async with _transaction(self._engine) as connection:
            row = (await _rows(connection, "due_threads", values))[0]
        return DuePage(_keys(row), _last(row))

    async def delete(self, placement: int, due: Sequence[ThreadKey], rest_share: float = 0.0) -> Swept:
        """Delete those of the threads that are due still and do not live, with everything below them.

        A thread that a writer holds at this moment is left for the next time. Whoever comes after the threads
        are held finds them gone, as if they had been deleted before.

        Args:
            placement: Where they are.
            due: At most some hundred: they are held until the transaction ends.
            rest_share: Rests of the server between two tables, as a part of the time that it worked before.

        Cost: one round trip.
        """
        values = {
            "placement": placement,
            "retention_s": self._retention_s,
            "rest_share": rest_share,
            **_arrays(due),
        }
        with translated():
            async with self._engine.connect() as connection:
                # A transaction by itself: nobody waits for its beginning and its end.
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                row = (await _rows(connection, "delete_due_threads", values))[0]
        return Swept(int(row["threads"]), int(row["versions"]), row["took_s"], row["rest_s"])

    async def long(self, placement: int, after: ThreadKey, most: int, idle_for: timedelta) -> LongPage:
        """Those of a placement's next threads that have more versions than their tenant keeps.

        Args:
            placement: Where to look.
            after: Behind which thread.
            most: How many to look at.
            idle_for: Only threads that were left alone for so long.
        """
        values = {
            "placement": placement,
            **_key(after),
            "most": most,
            "idle_s": idle_for.total_seconds(),
        }
        async with _transaction(self._engine) as connection:
            row = (await _rows(connection, "long_threads_of_tenants", values))[0]
        kept = row["kept"] or ()
        return LongPage([LongThread(*pair) for pair in zip(_keys(row), kept, strict=True)], _last(row))

    async def weigh(
        self,
        tenant_id: uuid.UUID,
        placements: Iterable[int | None],
        *,
        retention_days: int | None,
        keep_checkpoints: int | None,
        page: int = 1000,
    ) -> Weighed:
        """What these settings would delete of a tenant now.

        Args:
            tenant_id: Whose threads.
            placements: Where they may be; None is nowhere.
            retention_days: As `Tenant` has it; the deployment's own counts too when it is shorter, by days.
            keep_checkpoints: As `Tenant` has it.
            page: Threads a transaction.

        Cost: a look at each thread of the tenant, at what is below those that would go, and at the
        checkpoints of those that would lose some.
        """
        values: dict[str, Any] = {
            "tenant_id": tenant_id,
            "retention_days": retention_days,
            "keep_checkpoints": keep_checkpoints,
            "most": page,
        }
        found = Weighed()
        for placement in {place for place in placements if place is not None}:
            thread_id: str | None = ""
            while thread_id is not None:
                async with _transaction(self._engine) as connection:
                    shown = {"shown": f"{{{tenant_id}}}"}
                    await connection.execute(QUERIES["show_tenant"], shown)
                    asked = {**values, "placement": placement, "thread_id": thread_id}
                    row = (await _rows(connection, "weigh_threads", asked))[0]
                found += Weighed(*(int(row[name]) for name in _WEIGHED))
                thread_id = row["last_id"]
        return found


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """A transaction whose statements are planned for the placement that they name."""
    with translated():
        async with engine.begin() as connection:
            await connection.execute(QUERIES["plan_for_this_placement"])
            yield connection


async def _rows(connection: AsyncConnection, name: str, values: dict[str, Any]) -> Sequence[RowMapping]:
    return (await connection.execute(QUERIES[name], values)).mappings().all()


def _key(key: ThreadKey) -> dict[str, Any]:
    return {"tenant_id": key.tenant_id, "thread_id": key.thread_id}


def _arrays(keys: Sequence[ThreadKey]) -> dict[str, Any]:
    return {"tenant_ids": [key.tenant_id for key in keys], "thread_ids": [key.thread_id for key in keys]}


def _keys(row: RowMapping) -> list[ThreadKey]:
    pairs = zip(row["tenant_ids"] or (), row["thread_ids"] or (), strict=True)
    return [ThreadKey(_uuid(tenant_id), thread_id) for tenant_id, thread_id in pairs]


def _last(row: RowMapping) -> ThreadKey | None:
    return None if row["thread_id"] is None else ThreadKey(_uuid(row["tenant_id"]), row["thread_id"])


def _uuid(value: Any) -> uuid.UUID:
    """A plain one: the driver's own does not compare with it everywhere."""
    return uuid.UUID(bytes=value.bytes)
