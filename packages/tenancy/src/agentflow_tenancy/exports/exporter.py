"""Writes a tenant's threads into an archive, each as it was at one moment, while runs go on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.archive import PackedCheckpoint, unpack
from agentflow.storage.checkpointer.pool import connection
from agentflow_tenancy.exports import layout
from agentflow_tenancy.exports.archive_writer import ArchiveWriter, Entry
from agentflow_tenancy.exports.errors import ExportError
from agentflow_tenancy.exports.folder import ExportFolder
from agentflow_tenancy.exports.lines import checkpoint_text
from agentflow_tenancy.exports.records import ExportRecord
from agentflow_tenancy.exports.statements import reading
from agentflow_tenancy.slugs import stored_thread_id

# A part is read within one transaction, which may hold a thread of any length.
_READ_S: Final = 24 * 3600.0
_PREFETCH: Final = 32
# As the server writes a column of JSON texts with these, it is the texts themselves, a line each: JSON holds
# neither of the two, nor a line's end.
_QUOTE: Final = "\x01"
_DELIMITER: Final = "\x02"

type _Driver = asyncpg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is.

    Attributes:
        after: The last thread that is whole in the file, as it is stored.
        size_bytes: What the file held then.
    """

    after: str
    threads: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Written:
    """A whole archive."""

    size_bytes: int
    digest: bytes


type Note = Callable[[Progress], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read: the tenant's placements, and what the statements take."""

    places: Sequence[int]
    prefix: str
    arguments: tuple[Any, ...]


class ThreadExporter:
    """Exports the threads of any tenant. Needs a login that sees every tenant."""

    def __init__(self, engine: AsyncEngine, folder: ExportFolder) -> None:
        """Nothing is written yet."""
        self._engine = engine
        self._folder = folder

    async def count(self, record: ExportRecord) -> int:
        """How many threads there are to export now."""
        async with self._snapshot(record) as (driver, source):
            total: int = await driver.fetchval(reading("count_threads", source.places), *source.arguments)
            return total

    async def write(self, record: ExportRecord, note: Note) -> Written:
        """Write the archive, from where an attempt before came to.

        Args:
            record: Whose threads, and how far it is.
            note: Told of each part that is safe on the disk; may raise to stop.

        Raises:
            ExportError: The tenant is gone.
            StoreUnavailableError: No answer; may be repeated.
            OSError: The disk is full.

        Memory is bounded whatever the size: parts are streamed, and each holds a snapshot of the database
        while it is read, so that a thread is exported as of one version.
        """
        archive, progress = await asyncio.to_thread(self._opened, record)
        with archive:
            while (last := await self._write_part(record, archive, progress)) is not None:
                await asyncio.to_thread(archive.sync)
                progress = Progress(last[0], progress.threads + last[1], archive.size)
                await note(progress)
            await asyncio.to_thread(archive.finish)
        part, whole = (
            self._folder.partial(record.export_id, record.attempts),
            self._folder.archive(record.export_id),
        )
        digest = await asyncio.to_thread(_kept, part, whole)
        for left in self._folder.partials(record.export_id):
            left.unlink(missing_ok=True)
        return Written(archive.size, digest)

    def _opened(self, record: ExportRecord) -> tuple[ArchiveWriter, Progress]:
        self._folder.make()
        path = self._folder.partial(record.export_id, record.attempts)
        before = [file for file in self._folder.partials(record.export_id) if file != path]
        for file in reversed(before):
            try:
                archive = ArchiveWriter.resumed(path, file, record.size_bytes)
            except (OSError, ValueError):
                continue  # not on this machine, or older: it begins anew
            return archive, Progress(record.after, record.threads_done, record.size_bytes)
        return ArchiveWriter(path), Progress("", 0, 0)

    async def _write_part(
        self, record: ExportRecord, archive: ArchiveWriter, progress: Progress
    ) -> tuple[str, int] | None:
        """The last thread of a further part and how many it has; None when there are no more."""
        async with self._snapshot(record) as (driver, source):
            found = await driver.fetch(
                reading("next_threads", source.places), *source.arguments, progress.after, layout.PART_THREADS
            )
            ids = _up_to(found)
            if not ids:
                return None
            arguments = (*source.arguments, progress.after, ids[-1])
            packed = await driver.fetchval(reading("any_packed", source.places), *arguments)
            for kind in layout.KINDS:
                with archive.entry(layout.name_of(kind, archive.parts + (kind == "threads"))) as entry:
                    if kind == "checkpoints" and packed:
                        await _write_packed(driver, source.places, arguments, entry)
                    else:
                        await _copy(driver, reading(kind, source.places), arguments, entry)
            return ids[-1], len(ids)

    @asynccontextmanager
    async def _snapshot(self, record: ExportRecord) -> AsyncGenerator[tuple[_Driver, _Source]]:
        """A transaction that sees one moment, also of a tenant that is just being moved."""
        async with (
            connection(self._engine) as driver,
            driver.transaction(isolation="repeatable_read", readonly=True),
        ):
            await driver.fetch(reading("settings", ()), record.tenant_id)
            row = await driver.fetchrow(reading("where_is", ()), record.tenant_id)
            if row is None:
                raise ExportError("There is no such tenant any more.")
            places = [place for place in (row["placement"], row["moving_to"]) if place is not None]
            prefix = stored_thread_id(row["slug"], "")
            thread = None if record.thread_id is None else prefix + record.thread_id
            yield driver, _Source(places, prefix, (record.tenant_id, prefix, record.user_id, thread))


async def _copy(driver: _Driver, statement: str, arguments: Sequence[Any], entry: Entry) -> None:
    async def write(data: bytes) -> None:
        entry.write(data)

    await driver.copy_from_query(
        statement,
        *arguments,
        output=write,
        format="csv",
        quote=_QUOTE,
        delimiter=_DELIMITER,
        timeout=_READ_S,
    )


async def _write_packed(
    driver: _Driver, places: Sequence[int], arguments: Sequence[Any], entry: Entry
) -> None:
    rows = driver.cursor(reading("packed_checkpoints", places), *arguments, prefetch=_PREFETCH)
    async for row in rows:
        if row["archive"] is None:
            one = PackedCheckpoint(
                row["seq"],
                row["created_at"],
                row["step"],
                row["is_full"],
                row["checkpoint_id"],
                row["source"],
                row["node"],
                row["run_id"],
                row["delta"],
            )
            entry.write(checkpoint_text(row["thread"], one).encode())
            continue
        for checkpoint in unpack(bytes(row["archive"])):
            entry.write(checkpoint_text(row["thread"], checkpoint).encode())
        await asyncio.sleep(0)  # unpacking takes its time, and the claim has to be held


def _up_to(found: Sequence[asyncpg.Record]) -> list[str]:
    """The threads of a part: by what they hold, so that an archive of them again has the same parts."""
    ids: list[str] = []
    rows = 0
    for row in found:
        rows += row["rows"]
        if ids and rows > layout.PART_ROWS:
            break
        ids.append(row["thread_id"])
    return ids


def _kept(part: Path, whole: Path) -> bytes:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    part.replace(whole)
    return digest
