"""Brings an archive's threads into a tenant: all are checked, then stored, a part a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.pool import connection
from agentflow.storage.checkpointer.sizes import Limits as Sizes
from agentflow_tenancy.exports.archive_reader import ArchiveReader, Place
from agentflow_tenancy.exports.checking import Checker
from agentflow_tenancy.exports.columns import COLUMNS, weight
from agentflow_tenancy.exports.errors import ExportError, NoRoomError, ThreadsExistError
from agentflow_tenancy.exports.lines import Line, ThreadLine
from agentflow_tenancy.exports.records import ExportRecord
from agentflow_tenancy.exports.statements import reading, writing
from agentflow_tenancy.plans import NO_LIMITS, sizes_of
from agentflow_tenancy.quotas import Used
from agentflow_tenancy.slugs import stored_thread_id
from agentflow_tenancy.tenants import Tenant
from agentflow_tenancy.usage_repository import UsageRepository

# A statement carries so much, and one line at least.
_MOST_BYTES: Final = 1024 * 1024
_MOST_LINES: Final = 1000
_SHOWN: Final = 3

type _Driver = asyncpg.Connection[Any]
type Rows = Sequence[tuple[Any, ...]]


class ImportLostError(Exception):
    """Somebody else works on the import now; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """How far an import is.

    Attributes:
        after: The last thread that is stored, as the tenant knows it.
    """

    after: str
    threads: int


type Note = Callable[[Loaded], Awaitable[None]]


class ThreadImporter:
    """Imports into tenants. To load, it needs a login that sees every tenant."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Nothing is read yet."""
        self._engine = engine
        self._usage = UsageRepository(engine)

    async def check(self, path: Path, tenant: Tenant, *, after: str) -> int:
        """Read the whole archive, and hold it against the tenant; nothing is stored. How many threads it has.

        Args:
            path: The archive.
            tenant: Who is to have its threads.
            after: Those up to this one are stored already.

        Raises:
            ArchiveError: The archive cannot be used.
            ThreadsExistError: The tenant has some of its threads, which this import has not brought.
            NoRoomError: They are more than the tenant may keep.
            StoreUnavailableError, OSError: To be repeated.
        """
        sizes = Sizes().within(sizes_of(tenant.limits, NO_LIMITS))
        prefix = stored_thread_id(tenant.slug, "")
        size_bytes = threads = 0
        with await asyncio.to_thread(ArchiveReader, path) as reader:
            checker = Checker(reader, prefix, sizes)
            for part in reader.parts:
                found = await asyncio.to_thread(checker.check, part)
                new = [thread for thread in found.threads if _is_behind(thread, after)]
                await self._refuse_existing(tenant, [prefix + thread for thread in new])
                threads += len(new)
                # What a part had that is stored already is not counted, but it is not much.
                size_bytes += found.size_bytes if new else 0
            total = reader.manifest.counts["threads"]
        await self._refuse_too_much(tenant, threads, size_bytes)
        return total

    async def load(self, path: Path, record: ExportRecord, tenant: Tenant, note: Note) -> None:
        """Store what is not stored yet, a part at a time. Writers of the tenant go on meanwhile.

        Args:
            path: The archive, which was checked.
            record: How far it is.
            tenant: Who is to have its threads.
            note: Told of each part that is stored; may raise to stop.

        Raises:
            ThreadsExistError, NoRoomError: Somebody was faster: the parts before stay, and the same archive
                goes on from there.
            ImportLostError: Somebody else works on it.
            StoreUnavailableError: No answer, or the tenant is being moved; to be repeated.
        """
        prefix = stored_thread_id(tenant.slug, "")
        done = Loaded(record.after, record.threads_done)
        with await asyncio.to_thread(ArchiveReader, path) as reader:
            for part in reader.parts:
                stored = await self._load_part(record, tenant, reader, part, prefix)
                if stored is not None:
                    done = Loaded(stored.after, done.threads + stored.threads)
                    await note(done)

    async def _load_part(
        self,
        record: ExportRecord,
        tenant: Tenant,
        reader: ArchiveReader,
        part: Sequence[Place],
        prefix: str,
    ) -> Loaded | None:
        """What a part brought; None when it is stored already."""
        last, count = _last(reader.lines(part[0]))
        async with self._claimed(record) as (driver, after):
            if not _is_behind(last, after):
                return None
            placement = await _placement(driver, tenant)
            load = _Load(driver, placement, tenant, prefix)
            for place in part:
                await load.all(place.kind, reader.lines(place))
            await load.count(count)
            await driver.execute(writing("note_loaded", placement), *_key(record), last, count)
        limit = tenant.limits.stored_bytes
        if limit is not None or tenant.limits.threads is not None:
            used = await self._usage.used(tenant.tenant_id)
            _refuse_over(tenant, used, 0, 0)
        return Loaded(last, count)

    @asynccontextmanager
    async def _claimed(self, record: ExportRecord) -> AsyncGenerator[tuple[_Driver, str]]:
        """A transaction of whoever has the import, and the last thread that is stored."""
        async with connection(self._engine) as driver, driver.transaction():
            await driver.fetch(reading("settings", ()), record.tenant_id)
            after = await driver.fetchval(reading("claim", ()), *_key(record), record.holder)
            if after is None:
                raise ImportLostError
            yield driver, after

    async def _refuse_existing(self, tenant: Tenant, ids: list[str]) -> None:
        if not ids:
            return
        async with connection(self._engine) as driver, driver.transaction():
            await driver.fetch(reading("settings", ()), tenant.tenant_id)
            row = await driver.fetchrow(reading("where_is", ()), tenant.tenant_id)
            if row is None:
                raise ExportError("There is no such tenant any more.")
            places = [place for place in (row["placement"], row["moving_to"]) if place is not None]
            found = await driver.fetch(reading("existing", places), tenant.tenant_id, ids)
        if found:
            raise _exists([row["thread_id"] for row in found], stored_thread_id(tenant.slug, ""))

    async def _refuse_too_much(self, tenant: Tenant, threads: int, size_bytes: int) -> None:
        if tenant.limits.threads is not None or tenant.limits.stored_bytes is not None:
            used = await self._usage.used(tenant.tenant_id)
            _refuse_over(tenant, used, threads, size_bytes)


class _Load:
    """One part on its way into the tables."""

    def __init__(self, driver: _Driver, placement: int, tenant: Tenant, prefix: str) -> None:
        self._driver = driver
        self._placement = placement
        self._tenant = tenant
        self._prefix = prefix
        self._numbers: dict[str, int] = {}
        self._bytes = 0

    async def all(self, kind: str, lines: Iterable[Line]) -> None:
        """Every line of a file."""
        named = self._prefix if kind == "threads" else self._numbers
        batches = _batches(lines, kind, named)
        sending: asyncio.Future[None] | None = None
        try:
            # The next lines are read while the server stores those before.
            while (rows := await asyncio.to_thread(next, batches, None)) is not None:
                if sending is not None:
                    await sending
                sending = asyncio.ensure_future(self._send(kind, rows))
            if sending is not None:
                await sending
        finally:
            if sending is not None and not sending.done():
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def count(self, threads: int) -> None:
        """What is kept from now on."""
        statement = writing("count_loaded", self._placement)
        await self._driver.execute(statement, self._tenant.tenant_id, threads, self._bytes)

    async def _threads(self, rows: Rows) -> None:
        statement = writing("load_threads", self._placement)
        try:
            made = await self._driver.fetch(statement, self._tenant.tenant_id, *zip(*rows, strict=True))
        except asyncpg.UniqueViolationError as error:
            raise ThreadsExistError(
                "A thread of the archive was made in the tenant meanwhile: delete it, and send the same "
                "archive again."
            ) from error
        for row in made:
            self._numbers[row["thread_id"].removeprefix(self._prefix)] = row["thread_no"]

    async def _send(self, kind: str, rows: Rows) -> None:
        if kind == "threads":
            await self._threads(rows)
            return
        statement = writing(f"load_{kind}", self._placement)
        columns = zip(*rows, strict=True)
        self._bytes += await self._driver.fetchval(statement, self._tenant.tenant_id, *columns)


async def _placement(driver: _Driver, tenant: Tenant) -> int:
    """Where the tenant makes threads; it is neither moved nor suspended before the transaction ends."""
    row = await driver.fetchrow(reading("hold_tenant", ()), tenant.tenant_id)
    if row is None or row["state"] != "active":
        raise ExportError("The tenant is not active: nothing is brought into it.")
    place = await driver.fetchrow(reading("where_is", ()), tenant.tenant_id)
    if row["moving_to"] is not None or place is None or place["moving_to"] is not None:
        raise StoreUnavailableError("The tenant is being moved; the import goes on afterwards.")
    placement: int = place["placement"]
    return placement


def _batches(lines: Iterable[Line], kind: str, named: object) -> Iterator[Rows]:
    batch: list[tuple[Any, ...]] = []
    size = 0
    row_of = COLUMNS[kind]
    for line in lines:
        batch.append(row_of(named, line))
        size += weight(line)
        if size > _MOST_BYTES or len(batch) == _MOST_LINES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _last(lines: Iterable[Line]) -> tuple[str, int]:
    last, count = "", 0
    for line in lines:
        assert isinstance(line, ThreadLine)  # noqa: S101 - a part begins with its threads
        last, count = line.thread, count + 1
    return last, count


def _is_behind(thread: str, after: str) -> bool:
    return thread.encode() > after.encode()


def _key(record: ExportRecord) -> tuple[Any, ...]:
    return record.tenant_id, record.export_id


def _exists(ids: Sequence[str], prefix: str) -> ThreadsExistError:
    shown = ", ".join(repr(one.removeprefix(prefix)) for one in ids[:_SHOWN])
    more = "" if len(ids) <= _SHOWN else f" and {len(ids) - _SHOWN} more"
    return ThreadsExistError(
        f"The tenant has threads of the archive already: {shown}{more}. Nothing was imported; delete them "
        "first."
    )


def _refuse_over(tenant: Tenant, used: Used, threads: int, size_bytes: int) -> None:
    wanted = {
        "threads": (tenant.limits.threads, used.threads + threads),
        "stored-bytes": (tenant.limits.stored_bytes, used.stored_bytes + size_bytes),
    }
    for name, (limit, amount) in wanted.items():
        if limit is not None and amount > limit:
            raise NoRoomError(
                f"The quota {name!r} of {limit} leaves no room: with the archive it would be {amount}."
            )
