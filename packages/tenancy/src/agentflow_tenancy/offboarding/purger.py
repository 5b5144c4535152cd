"""Deletes what a tenant, or one of its users, has in the database.

Each step may be killed anywhere and done again. Partitions of the tenant's own are detached and dropped,
which takes as long for many rows as for few. In the pool threads go in batches, each in a transaction of
some milliseconds, with rests for everybody else.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import InvalidInputError, StorageError, StoreUnavailableError, TenantGoneError
from agentflow.storage.checkpointer.pool import connection
from agentflow.storage.checkpointer.types import FIRST_OWN_PLACEMENT
from agentflow_tenancy.moves.mover import ClaimLostError
from agentflow_tenancy.moves.statements import between, detachment
from agentflow_tenancy.offboarding.records import Subject
from agentflow_tenancy.offboarding.statements import at_placement, of_table, statement
from agentflow_tenancy.slugs import public_thread_id

# What says that there was a tenant, and nothing more. All other tables are purged.
# `agentflow_placements` holds that nobody makes a thread of it, however late they come.
KEPT: Final = frozenset(
    {"agentflow_offboardings", "agentflow_receipts", "agentflow_tombstones", "agentflow_placements"}
)
_TENANTS: Final = "agentflow_tenants"
# Of a table by the day: the receipt counts the rows of all its days together.
_DAY: Final = re.compile(r"_p\d{8}$", re.ASCII)
_FEWEST_ROWS: Final = 200
_MOST_ROWS: Final = 8000
_MOST_THREADS: Final = 512
_BATCH_S: Final = 0.006
_TABLE_BATCH: Final = 2000
_POLL_S: Final = 0.02

type _Driver = asyncpg.Connection[Any]


class LongTransactionError(StoreUnavailableError):
    """A transaction that has been open for long is in the way; nobody waits behind this."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that says whose its rows are.

    Attributes:
        is_leaf: Of a placement.
        has_user: Whether it says which user's they are, too.
    """

    name: str
    is_leaf: bool
    has_user: bool


@dataclass(frozen=True, slots=True)
class Purge:
    """Whose rows go, and who has them deleted.

    Attributes:
        offboarding_id, holder: Looked at in each transaction: who slept for longer than its lease deletes
            nothing any more.
    """

    subject: Subject
    offboarding_id: uuid.UUID
    holder: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class _Batch:
    last: str | None
    rows: int
    threads: int
    took_s: float
    rest_s: float


class Purger:
    """The steps of a purge. Needs the login that owns the tables."""

    def __init__(
        self, engine: AsyncEngine, *, rest: float = 8.0, fence_s: float = 5.0, lock_s: float = 5.0
    ) -> None:
        """Nothing is deleted yet.

        Args:
            engine: Of this event loop.
            rest: After each part of a batch, as a part of the time that it took.
            fence_s: How long to wait for whoever writes threads, at each try.
            lock_s: Likewise for whoever may still read a partition.
        """
        self._engine = engine
        self._rest = rest
        self._fence_s = fence_s
        self._lock_s = lock_s

    async def undo_moves(self, subject: Subject) -> None:
        """Have the tenant's move taken back: it may yet stay."""
        async with connection(self._engine) as driver:
            await driver.execute(statement("undo_moves"), subject.tenant_id)

    async def cancel_runs(self, subject: Subject) -> None:
        """Tell a user's runs to stop. Those of a tenant that leaves stop by themselves."""
        if subject.user_id is not None:
            async with connection(self._engine) as driver:
                await driver.execute(statement("cancel_runs"), subject.tenant_id, subject.user_id)

    async def open_runs(self, subject: Subject) -> int:
        """How many runs somebody works on."""
        async with connection(self._engine) as driver:
            runs: int = await driver.fetchval(statement("open_runs"), subject.tenant_id, subject.user_id)
            return runs

    async def places(self, subject: Subject) -> list[int]:
        """Every placement that may hold threads of the tenant."""
        async with connection(self._engine) as driver:
            rows = await driver.fetch(statement("places"), subject.tenant_id)
            return [row["placement"] for row in rows]

    async def count_threads(self, subject: Subject, placements: Iterable[int]) -> int:
        """How many threads there are. Cost: an index entry each."""
        total = 0
        async with connection(self._engine) as driver:
            for placement in placements:
                text = at_placement("count_threads", placement)
                total += await driver.fetchval(text, subject.tenant_id, subject.user_id)
        return total

    async def count_below(self, subject: Subject, placements: Iterable[int]) -> dict[str, int]:
        """How many rows hang below a user's threads, by table; they do not say whose they are.

        Nothing of a tenant's, whose rows do. Cost: an index entry each.
        """
        counts: dict[str, int] = {}
        if subject.user_id is None:
            return counts
        async with connection(self._engine) as driver, driver.transaction():
            await driver.fetch(statement("counted"), subject.tenant_id)
            for placement in placements:
                text = at_placement("count_below", placement)
                for row in await driver.fetch(text, subject.tenant_id, subject.user_id):
                    if row["rows"]:
                        counts[row["name"]] = counts.get(row["name"], 0) + row["rows"]
        return counts

    async def fence(self, purge: Purge) -> None:
        """Nobody makes a thread of the tenant from now on; moves, exports and imports end where they stand.

        Raises:
            LongTransactionError: Somebody has been writing threads for too long; to be tried again.
        """
        if purge.subject.user_id is not None:
            return
        async with self._claimed(purge) as driver:
            await driver.execute(statement("stop_moves"), purge.subject.tenant_id)
            await driver.execute(statement("stop_exports"), purge.subject.tenant_id)
            await driver.execute(statement("close"), purge.subject.tenant_id)
        # Whoever looked before has written before this ends.
        async with connection(self._engine) as driver:
            transactions = await driver.fetchval(between("writers", 0, 0))
            give_up_at = time.monotonic() + self._fence_s
            while transactions and await driver.fetchval(between("still_writing", 0, 0), transactions):
                if time.monotonic() > give_up_at:
                    raise await _long_transaction(driver)
                await asyncio.sleep(_POLL_S)

    async def is_shared(self, subject: Subject, placement: int) -> bool:
        """Whether a placement is others' too: threads go one by one there."""
        if placement < FIRST_OWN_PLACEMENT:
            return True
        async with connection(self._engine) as driver:
            found: bool = await driver.fetchval(at_placement("others_there", placement), subject.tenant_id)
            return found

    async def detach_leaves(self, purge: Purge, placement: int) -> None:
        """Detach the leaves of a placement of the tenant's own; their sizes are noted.

        Who reads or writes other placements waits for nothing.

        Raises:
            LongTransactionError: One that may still read a leaf is in the way; to be tried again.
        """
        async with self._claimed(purge) as driver:
            rows = await driver.fetch(at_placement("leaf_sizes", placement))
            sizes = {row["leaf"]: int(row["size_bytes"]) for row in rows}
            await driver.execute(statement("note_sizes"), purge.offboarding_id, json.dumps(sizes))
        async with self._waiting_briefly() as driver:
            await _detach(driver, placement)

    async def drop_leaves(self, purge: Purge, placement: int) -> None:
        """Drop detached leaves; nothing when there are none. The time that this takes is that of their files.

        Raises:
            LongTransactionError: See there.
        """
        async with self._claimed(purge):
            pass
        async with self._waiting_briefly() as driver:
            await _detach(driver, placement)
            await driver.execute(between("drop_leaves", placement, placement))

    @asynccontextmanager
    async def _waiting_briefly(self) -> AsyncGenerator[_Driver]:
        """A connection that gives up waiting for a lock soon: who comes behind it waits, too."""
        async with connection(self._engine) as driver:
            await driver.fetchval(statement("session_locks"), f"{int(1000 * self._lock_s)}ms")
            try:
                yield driver
            except (asyncpg.LockNotAvailableError, asyncpg.ObjectNotInPrerequisiteStateError) as error:
                # The latter while another placement's leaf waits: a table detaches one at a time.
                raise await _long_transaction(driver) from error
            finally:
                await driver.fetchval(between("usual_locks", 0, 0))

    async def purge_threads(self, purge: Purge, placement: int) -> int:
        """Delete the threads of a shared placement with all that hangs below them, some at a time.

        Returns:
            How many threads.

        Raises:
            ClaimLostError: Somebody else does so now.
        """
        purge_batch = self._purge_batch if purge.subject.user_id is None else self._purge_batch_of_user
        after, most_rows, threads = "", _FEWEST_ROWS, 0
        while True:
            batch = await purge_batch(purge, placement, after, most_rows)
            if batch.last is None:
                if not after:
                    return threads
                after = ""  # once more: somebody may have been writing the first time
                continue
            after, threads = batch.last, threads + batch.threads
            most_rows = _next_size(most_rows, batch.took_s, batch.rows)
            await asyncio.sleep(batch.rest_s)

    async def tables(self) -> list[Table]:
        """Every table that says whose its rows are, from the catalogue."""
        async with connection(self._engine) as driver:
            return [Table(**row) for row in await driver.fetch(statement("tables"))]

    async def purge_tables(self, purge: Purge) -> int:
        """Delete what all other tables have; the tenant itself last.

        Returns:
            How many rows.

        Raises:
            StorageError: A table's rows cannot be deleted.
        """
        subject = purge.subject
        if subject.user_id is None:
            async with self._claimed(purge) as driver:
                await driver.execute(statement("keep_digests"), subject.tenant_id, purge.offboarding_id)
                await driver.execute(statement("unlink_keys"), subject.tenant_id)
                await driver.execute(statement("settle"), subject.tenant_id)
        tables = _in_order(await self.tables(), subject)
        waiting, refused, may_be_late, rows = list(tables), 0, True, 0
        while waiting:
            table = waiting.pop(0)
            try:
                rows += await self._purge_table(purge, table)
                refused = 0
            except _ReferredToError:
                # Others refer to its rows: they go first.
                waiting.append(table)
                refused += 1
                if refused > len(waiting):
                    if not may_be_late:
                        raise StorageError(f"Rows that refer to {table} of the tenant are left.") from None
                    # Somebody who was let in before stored some behind us; who comes now is refused.
                    waiting, refused, may_be_late = list(tables), 0, False
        return rows

    @asynccontextmanager
    async def _claimed(self, purge: Purge) -> AsyncGenerator[_Driver]:
        async with connection(self._engine) as driver, driver.transaction():
            if purge.holder is not None and not await driver.fetch(
                statement("claim"), purge.offboarding_id, purge.holder
            ):
                raise ClaimLostError
            yield driver

    async def _purge_batch(self, purge: Purge, placement: int, after: str, most_rows: int) -> _Batch:
        """Of a tenant that leaves: one call, whose time is the server's own."""
        async with connection(self._engine) as driver:
            found = await driver.fetchrow(
                statement("purge_batch"),
                purge.offboarding_id, purge.holder, placement, purge.subject.tenant_id, after, most_rows,
                self._rest,
            )  # fmt: skip
        if found is None or not found["is_held"]:
            raise ClaimLostError
        return _Batch(found["last_id"], found["rows"], found["threads"], found["took_s"], found["rest_s"])

    async def _purge_batch_of_user(self, purge: Purge, placement: int, after: str, most_rows: int) -> _Batch:
        subject = purge.subject
        tenant_id = subject.tenant_id
        began = time.monotonic()
        async with self._claimed(purge) as driver:
            await driver.fetch(statement("counted"), tenant_id)
            found = await driver.fetch(
                at_placement("next_threads", placement),
                tenant_id, after, _MOST_THREADS, subject.user_id, subject.until,
            )  # fmt: skip
            ids, rows = _up_to(found, most_rows)
            if not ids:
                return _Batch(None, 0, 0, 0.0, 0.0)
            held = await driver.fetch(at_placement("hold_threads", placement), tenant_id, ids)
            numbers = [row["thread_no"] for row in held]
            [below] = await driver.fetch(at_placement("purge_below", placement), tenant_id, numbers)
            counts: dict[str, int] = dict(below)
            public = [public_thread_id(subject.slug, one) for one in ids]
            await driver.execute(statement("end_claims"), tenant_id, ids, subject.user_id)
            await driver.execute(statement("forget_answers"), tenant_id, public, subject.until)
            await driver.execute(statement("forget_names"), tenant_id, public, subject.until)
            gone = _count(await driver.execute(at_placement("purge_threads", placement), tenant_id, ids))
            counts["agentflow_threads"] = gone
            await _note(driver, purge, gone, counts)
            took_s = time.monotonic() - began
            return _Batch(ids[-1], rows, gone, took_s, took_s * self._rest)

    async def _purge_table(self, purge: Purge, table: str) -> int:
        subject = purge.subject
        of_user = subject.user_id is not None
        text = of_table("purge_table_of_user" if of_user else "purge_table", table)
        arguments: list[Any] = [subject.tenant_id, _TABLE_BATCH]
        arguments += [subject.user_id, subject.until] if of_user else []
        rows = 0
        while True:
            try:
                async with self._claimed(purge) as driver:
                    deleted = _count(await driver.execute(text, *arguments))
                    await _note(driver, purge, 0, {_DAY.sub("", table): deleted})
            except (InvalidInputError, TenantGoneError) as error:
                if isinstance(error.__cause__, asyncpg.ForeignKeyViolationError):
                    raise _ReferredToError from error
                raise
            rows += deleted
            if deleted < _TABLE_BATCH:
                return rows


class _ReferredToError(Exception):
    """Rows of another table refer to these."""


def _in_order(tables: list[Table], subject: Subject) -> list[str]:
    """Those to be purged; the tenant's own row last."""
    names = [
        table.name
        for table in tables
        if not table.is_leaf and table.name not in KEPT and (subject.user_id is None or table.has_user)
    ]
    return sorted(names, key=lambda name: (name == _TENANTS, name))


async def _detach(driver: _Driver, placement: int) -> None:
    for row in await driver.fetch(between("attached_leaves", placement, placement)):
        await driver.execute(detachment(row["parent"], placement, finalize=row["pending"]))


async def _note(driver: _Driver, purge: Purge, threads: int, counts: Mapping[str, int]) -> None:
    some = json.dumps({name: number for name, number in counts.items() if number})
    await driver.execute(statement("note_batch"), purge.offboarding_id, threads, some)


async def _long_transaction(driver: _Driver) -> LongTransactionError:
    row = await driver.fetchrow(statement("long_transactions"))
    who = (
        "another transaction" if row is None else f"a transaction of {row['open_s']:.0f} s (pid {row['pid']})"
    )
    return LongTransactionError(f"It waits for {who} to end; others are not held up.")


def _up_to(found: list[asyncpg.Record], most_rows: int) -> tuple[list[str], int]:
    """Ids of the first threads, as many as have so many rows, one at least; and about how many they have."""
    chosen: list[str] = []
    rows = 0
    for row in found:
        if chosen and rows + row["rows"] > most_rows:
            break
        rows += row["rows"]
        chosen.append(row["thread_id"])
    return chosen, rows


def _count(status: str) -> int:
    """Rows that a command says it changed."""
    return int(status.rsplit(" ", 1)[-1])


def _next_size(most_rows: int, took_s: float, rows: int) -> int:
    """The size that would have taken as long as a batch should, half or double at most."""
    wanted = min(rows, most_rows) * min(2.0, max(0.5, _BATCH_S / max(took_s, 0.0005)))
    return max(_FEWEST_ROWS, min(_MOST_ROWS, round(wanted)))
