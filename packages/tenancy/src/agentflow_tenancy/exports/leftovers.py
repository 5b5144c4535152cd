"""Files in the folder that nobody comes back for: of uploads that broke off, and of processes that died."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.exports.folder import ExportFolder
from agentflow_tenancy.exports.records import ExportQueue, Needed

# A file is there before the record that needs it: it is nobody's when it was left alone for so long.
_LEFT_ALONE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Seen:
    path: Path
    changed_ns: int


class Leftovers:
    """What no record needs any more."""

    def __init__(
        self, engine: AsyncEngine, folder: ExportFolder, *, left_alone_s: float = _LEFT_ALONE_S
    ) -> None:
        """Nothing is looked at yet.

        Args:
            engine: Of a login that sees every tenant.
            folder: Where to look.
            left_alone_s: Files that were written to since then are somebody's, whatever the records say.
        """
        self._queue = ExportQueue(engine)
        self._folder = folder
        self._left_alone_s = left_alone_s

    async def sweep(self) -> int:
        """Delete files that nobody needs; how many were.

        Raises:
            StoreUnavailableError: Postgres does not answer.
            OSError: The folder cannot be read.

        Cost: a look at the folder; one round trip when there are old files in it.
        """
        # The folder first: whoever needs a file has written it, then the record.
        old = await asyncio.to_thread(self._old)
        if not old:
            return 0
        needed = self._files(await self._queue.needed())
        left = [seen for seen in old if not any(map(seen.path.match, needed.get(_stem(seen.path), ())))]
        return await asyncio.to_thread(_dropped, left)

    def _old(self) -> list[_Seen]:
        before_ns = int((time.time() - self._left_alone_s) * 1e9)
        found = [_Seen(path, ns) for path in self._folder.known() if (ns := _changed_ns(path)) is not None]
        return [seen for seen in found if seen.changed_ns <= before_ns]

    def _files(self, needed: Iterable[Needed]) -> dict[str, list[str]]:
        """Patterns of names, by what the names begin with."""
        patterns: dict[str, list[str]] = {}
        for one in needed:
            if one.kind == "import":
                file = self._folder.upload(one.tenant_id, one.digest or b"")
                patterns.setdefault(_stem(file), []).append(file.name)
                continue
            archive = self._folder.archive(one.export_id)
            names = [archive.name, f"{one.export_id}.*.part"] if one.is_open else [archive.name]
            patterns.setdefault(_stem(archive), []).extend(names)
        return patterns


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _changed_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _dropped(left: Iterable[_Seen]) -> int:
    """Delete files, but for those that were written anew meanwhile: an upload may be sent once more."""
    count = 0
    for seen in left:
        if _changed_ns(seen.path) == seen.changed_ns:
            seen.path.unlink(missing_ok=True)
            count += 1
    return count
