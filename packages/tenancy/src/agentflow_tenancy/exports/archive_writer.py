"""Writes an archive to a file, a part at a time; what is whole is found again after a crash."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from agentflow_tenancy.exports import layout
from agentflow_tenancy.exports.layout import BLOCK, Listed

_COPY_BYTES: Final = 256 * 1024


class ArchiveWriter:
    """One file. Every method may block on the disk.

    Attributes:
        size: Bytes of what is whole.
        parts: How many parts are.
    """

    def __init__(self, path: Path) -> None:
        """Begin an archive anew."""
        self._file: IO[bytes] = path.open("wb+")
        self._files: list[Listed] = []
        self.size = 0
        self.parts = 0

    @classmethod
    def resumed(cls, path: Path, before: Path, size: int) -> Self:
        """Go on with what another one wrote, in a file of its own: that one may be writing yet.

        Args:
            path: The new file.
            before: The old one.
            size: How much of it is whole.

        Raises:
            OSError, ValueError: It is not there, or no longer what it was.
        """
        writer = cls(path)
        try:
            with before.open("rb") as old:
                while writer.size < size:
                    writer._copy_entry(old)
        except BaseException:  # whatever it is: nobody else could close it
            writer._file.close()
            raise
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def entry(self, name: str) -> Entry:
        """A file of the archive, to be written within a block; nothing of it stays if it is empty."""
        return Entry(self, name)

    def sync(self) -> None:
        """Have what is whole survive a crash."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Write the manifest and the end."""
        text = layout.manifest_text(layout.manifest_of(self._files))
        self._file.write(layout.header(layout.MANIFEST, len(text)) + text)
        self._file.write(layout.filling(len(text)) + layout.END)
        self.size += BLOCK + len(text) + len(layout.filling(len(text))) + len(layout.END)
        self.sync()

    def _copy_entry(self, old: IO[bytes]) -> None:
        entry = tarfile.TarInfo.frombuf(old.read(BLOCK), "ascii", "strict")
        left, digest, lines = entry.size, hashlib.sha256(), 0
        self._file.write(layout.header(entry.name, entry.size))
        while left:
            chunk = old.read(min(left, _COPY_BYTES))
            if not chunk:
                raise ValueError("it ends too soon")
            digest.update(chunk)
            lines += chunk.count(b"\n")
            self._file.write(chunk)
            left -= len(chunk)
        old.read(len(layout.filling(entry.size)))
        self._ended(entry.name, entry.size, lines, digest.hexdigest())

    def _ended(self, name: str, size: int, lines: int, sha256: str) -> None:
        self._file.write(layout.filling(size))
        self._files.append(Listed(name, size, lines, sha256))
        self.size += BLOCK + size + len(layout.filling(size))
        self.parts = layout.part_of(name)[1]


class Entry:
    """See `ArchiveWriter.entry`. The header is written again when the size is known."""

    def __init__(self, writer: ArchiveWriter, name: str) -> None:
        self._writer = writer
        self._name = name
        self._digest = hashlib.sha256()
        self._lines = 0
        self._size = 0

    def __enter__(self) -> Self:
        self._writer._file.write(layout.header(self._name, 0))  # noqa: SLF001 - of the same file
        return self

    def write(self, data: bytes) -> None:
        """Some lines, or a part of one."""
        self._digest.update(data)
        self._lines += data.count(b"\n")
        self._size += len(data)
        self._writer._file.write(data)  # noqa: SLF001

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file = self._writer._file  # noqa: SLF001
        file.seek(self._writer.size)
        if error is not None or self._size == 0:
            file.truncate()
            return
        file.write(layout.header(self._name, self._size))
        file.seek(0, os.SEEK_END)
        self._writer._ended(self._name, self._size, self._lines, self._digest.hexdigest())  # noqa: SLF001
