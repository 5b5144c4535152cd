"""Moves a tenant's threads from one placement to another while runs write them.

Each step may be killed anywhere and done again. A thread is whole in one place at each moment: it moves in
one transaction that holds its row, its children first. Readers look in both places while it lasts, and a
writer who comes to where a thread was finds out by its row being gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError
from agentflow.storage.checkpointer.pool import connection
from agentflow.storage.checkpointer.schema import partition_statements
from agentflow.storage.checkpointer.types import FIRST_OWN_PLACEMENT
from agentflow_tenancy.moves.statements import CHILDREN, between, detachment

logger = logging.getLogger("agentflow.moves")

# A batch is so many rows, but one thread at least. A writer whose thread is on its way waits for its batch:
# so long should one take. Fewer rows than the fewest take hardly less time.
_FEWEST_ROWS: Final = 300
_MOST_ROWS: Final = 1500
_MOST_THREADS: Final = 256
_BATCH_S: Final = 0.02
_POLL_S: Final = 0.005

type _Driver = asyncpg.Connection[Any]
type Progress = Callable[[int, int], Awaitable[None]]


class ClaimLostError(Exception):
    """Somebody else works on the operation now; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose work a move is. A mover that slept for longer than its claim changes nothing any more."""

    operation_id: uuid.UUID
    holder: uuid.UUID


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where a tenant moves.

    Attributes:
        claim: Looked at in each transaction; None when there is only one mover.
    """

    tenant_id: uuid.UUID
    source: int
    target: int
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction moved, and the last thread it looked at; None behind the last of all."""

    threads: int
    rows: int
    last: str | None


class Mover:
    """The steps of a move. Needs a login that owns the tables, or is a member of their owner."""

    def __init__(
        self, engine: AsyncEngine, *, settle_s: float = 2.0, fence_s: float = 0.2, pause_s: float = 0.002
    ) -> None:
        """Nothing is moved yet.

        Args:
            engine: Of this event loop.
            settle_s: How long to wait after the announcement, until no replica remembers the time before.
            fence_s: For how long at most no thread of the tenant can be made, at each try.
            pause_s: Rest between two batches, for everybody else.
        """
        self._engine = engine
        self._settle_s = settle_s
        self._fence_s = fence_s
        self._pause_s = pause_s

    async def new_placement(self) -> int:
        """A number for a partition of a tenant's own; never given twice."""
        async with connection(self._engine) as driver:
            placement: int = await driver.fetchval(between("next_placement", 0, 0))
            return placement

    async def prepare(self, way: Way) -> int:
        """Make the target's leaves if they are missing; how many threads there are to move.

        Raises:
            StoreUnavailableError: A table could not be locked within a second; to be tried again.
        """
        async with self._claimed(way) as driver:
            if not await driver.fetchval(self._text("has_leaves", way)):
                await driver.fetchval(self._text("short_locks", way))
                for statement in partition_statements(way.target):
                    await driver.execute(statement)
        async with connection(self._engine) as driver:
            total: int = await driver.fetchval(self._text("count_threads", way), way.tenant_id)
            return total

    async def announce(self, way: Way) -> None:
        """Tell everybody to look in both places, and wait until everybody does."""
        async with self._claimed(way) as driver:
            await driver.execute(self._text("announce_tenant", way), way.tenant_id)
            await driver.execute(self._text("announce", way), way.tenant_id)
        await asyncio.sleep(self._settle_s)

    async def fence(self, way: Way) -> bool:
        """Have new threads made in the target; False when a long transaction was in the way.

        For the moment in between nobody makes a thread of this tenant, and who tries waits: otherwise one
        could be made on both sides. Whoever wrote when it began has ended before it ends.
        """
        async with self._claimed(way) as driver:
            if not await driver.fetch(self._text("close", way), way.tenant_id):
                return True  # done by a mover that died before it could note it
        try:
            is_done = await self._writers_ended(way)
        except BaseException:  # also when cancelled: nobody could make a thread
            with suppress(StorageError, ClaimLostError):
                await asyncio.shield(self._open("open_again", way))
            raise
        await self._open("open" if is_done else "open_again", way)
        return is_done

    async def move(self, way: Way, progress: Progress) -> None:
        """Move every thread, some at a time.

        Args:
            way: From where to where.
            progress: Told threads and rows of each batch; may raise to stop.
        """
        after, most_rows = "", _FEWEST_ROWS
        while True:
            began = time.monotonic()
            batch = await self._move_batch(way, after, most_rows)
            if batch.threads:
                await progress(batch.threads, batch.rows)
                most_rows = _next_size(most_rows, time.monotonic() - began)
                await asyncio.sleep(self._pause_s)
            if batch.last is not None:
                after = batch.last
            elif await self._any_left(way):
                # They were being written when their turn came.
                after = ""
                await asyncio.sleep(_POLL_S)
            else:
                return

    async def settle(self, way: Way) -> None:
        """The tenant lives in the target from now on.

        Raises:
            StorageError: Threads are left in the source.
        """
        async with self._claimed(way) as driver:
            if await driver.fetchval(self._text("any_left", way), way.tenant_id):
                raise StorageError("Threads are left where the tenant was.")
            await driver.execute(self._text("settle", way), way.tenant_id)
            await driver.execute(self._text("settle_tenant", way), way.tenant_id)

    async def left_over(self) -> list[int]:
        """Own placements that tenants left and that still have partitions."""
        async with connection(self._engine) as driver:
            rows = await driver.fetch(between("left_over", 0, 0))
            return [row["placement"] for row in rows]

    async def clean(self, placement: int) -> bool:
        """Drop the leaves of an own placement that nobody lives in; False when they could not be yet."""
        if placement < FIRST_OWN_PLACEMENT:
            return True
        way = Way(uuid.UUID(int=0), placement, placement)
        try:
            async with connection(self._engine) as driver:
                if not await driver.fetchval(self._text("is_free", way)):
                    return False
                await driver.fetchval(self._text("session_locks", way))
                try:
                    for row in await driver.fetch(self._text("attached_leaves", way)):
                        statement = detachment(row["parent"], placement, finalize=row["pending"])
                        await driver.execute(statement)
                    await driver.execute(self._text("drop_leaves", way))
                finally:
                    await driver.fetchval(self._text("usual_locks", way))
        except StorageError as error:
            logger.warning("The empty partitions of placement %d stay for now: %s", placement, error)
            return False
        return True

    async def _writers_ended(self, way: Way) -> bool:
        async with connection(self._engine) as driver:
            transactions = await driver.fetchval(self._text("writers", way))
            give_up_at = time.monotonic() + self._fence_s
            while transactions and await driver.fetchval(self._text("still_writing", way), transactions):
                if time.monotonic() > give_up_at:
                    return False
                await asyncio.sleep(_POLL_S)
            return True

    @asynccontextmanager
    async def _claimed(self, way: Way) -> AsyncGenerator[_Driver]:
        """A transaction of whoever has the claim; nobody else gets it before the transaction ends."""
        async with connection(self._engine) as driver, driver.transaction():
            claim = way.claim
            if claim is not None and not await driver.fetch(
                self._text("claim", way), claim.operation_id, claim.holder
            ):
                raise ClaimLostError
            yield driver

    async def _open(self, name: str, way: Way) -> None:
        async with self._claimed(way) as driver:
            await driver.execute(self._text(name, way), way.tenant_id)

    async def _move_batch(self, way: Way, after: str, most_rows: int) -> _Batch:
        async with self._claimed(way) as driver:
            await driver.fetch(self._text("quiet", way))
            found = await driver.fetch(self._text("next_threads", way), way.tenant_id, after, _MOST_THREADS)
            chosen = _up_to(found, most_rows)
            if not chosen:
                return _Batch(0, 0, None)
            held = await driver.fetch(self._text("hold_threads", way), way.tenant_id, chosen)
            numbers = [row["thread_no"] for row in held]
            rows = 0
            for name in CHILDREN if held else ():
                rows += _count(await driver.execute(self._text(name, way), way.tenant_id, numbers))
            if held:
                ids = [row["thread_id"] for row in held]
                rows += _count(await driver.execute(self._text("move_threads", way), way.tenant_id, ids))
            return _Batch(len(held), rows, chosen[-1])

    async def _any_left(self, way: Way) -> bool:
        async with connection(self._engine) as driver:
            found: bool = await driver.fetchval(self._text("any_left", way), way.tenant_id)
            return found

    @staticmethod
    def _text(name: str, way: Way) -> str:
        return between(name, way.source, way.target)


def _up_to(found: Sequence[asyncpg.Record], most_rows: int) -> list[str]:
    """Ids of the first threads, as many as have so many rows; one at least."""
    chosen: list[str] = []
    rows = 0
    for row in found:
        rows += row["rows"]
        if chosen and rows > most_rows:
            break
        chosen.append(row["thread_id"])
    return chosen


def _count(status: str) -> int:
    """Rows that a command says it changed."""
    return int(status.rsplit(" ", 1)[-1])


def _next_size(most_rows: int, took_s: float) -> int:
    if took_s > 2 * _BATCH_S:
        return max(_FEWEST_ROWS, most_rows // 2)
    if took_s < _BATCH_S:
        return min(_MOST_ROWS, most_rows * 2)
    return most_rows
