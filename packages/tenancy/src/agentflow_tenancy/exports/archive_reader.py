"""Reads an archive that somebody brings: believes nothing, unpacks nothing, follows no name to a file."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

from agentflow_tenancy.exports import layout
from agentflow_tenancy.exports.errors import ArchiveError, ArchiveVersionError
from agentflow_tenancy.exports.layout import BLOCK, Listed, Manifest
from agentflow_tenancy.exports.lines import DECODERS, MOST_LINE_BYTES, Line, check_no_nul

# What a NUL looks like, or a text that shows one.
_NUL: Final = b"\\u0000"
_READ_BYTES: Final = 256 * 1024
_NOT_ONE: Final = "This is no archive of an export: a tar file as an export makes it is taken."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file of the archive lies.

    Attributes:
        offset: Of its first byte.
    """

    listed: Listed
    kind: str
    part: int
    offset: int


class ArchiveReader:
    """One file, as it lies. Every method may block on the disk.

    Attributes:
        manifest: What the archive says of itself; it was held against the files' names and sizes.
        parts: The places of each part's files, in order.
    """

    def __init__(self, path: Path) -> None:
        """Look at the names and sizes of all files; a seek for each, and none is read.

        Raises:
            ArchiveError: It is no archive, holds anything that an export does not write (links, devices,
                paths), or is cut off.
            ArchiveVersionError: It is of a newer version.
            OSError: The file cannot be read.
        """
        self._file: IO[bytes] = path.open("rb")
        try:
            found = self._walk(path.stat().st_size)
            self.manifest = self._read_manifest(found)
            self.parts = _parts(self.manifest, found)
        except BaseException:  # whatever it is: nobody else could close it
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def lines(self, place: Place) -> Iterator[Line]:
        """A file's lines, with every value checked; its checksum when it ends.

        Raises:
            ArchiveError: A line is none of its kind, or the file is not the one that the manifest lists.
        """
        decoder = DECODERS[place.kind]
        number = 0
        for text in self._texts(place):
            number += 1
            try:
                line = decoder.decode(text)
                if _NUL in text:
                    check_no_nul(line)
                yield line
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raise ArchiveError(
                    f"Line {number} of {place.listed.name} cannot be read: {error}."
                ) from error
        if number != place.listed.lines:
            raise ArchiveError(f"{place.listed.name} has another number of lines than the manifest says.")

    def _texts(self, place: Place) -> Iterator[bytes]:
        self._file.seek(place.offset)
        left, digest, rest = place.listed.size, hashlib.sha256(), b""
        while left:
            chunk = self._file.read(min(left, _READ_BYTES))
            if not chunk:
                raise ArchiveError("The archive is cut off.")
            left -= len(chunk)
            at = self._file.tell()
            digest.update(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > MOST_LINE_BYTES:
                raise ArchiveError(f"A line of {place.listed.name} is longer than any that an export writes.")
            yield from whole
            self._file.seek(at)  # whoever takes the lines may read elsewhere in between
        if rest:
            raise ArchiveError(f"The last line of {place.listed.name} is cut off.")
        if digest.hexdigest() != place.listed.sha256:
            raise ArchiveError(f"{place.listed.name} was changed: its checksum is not the manifest's.")

    def _walk(self, size: int) -> list[tuple[str, int, int]]:
        """Name, offset and size of each file."""
        found: list[tuple[str, int, int]] = []
        at = 0
        while True:
            self._file.seek(at)
            block = self._file.read(BLOCK)
            if block == layout.END[:BLOCK]:
                break
            entry = _entry(block, is_first=not found)
            offset = at + BLOCK
            at = offset + entry.size + len(layout.filling(entry.size))
            if at > size:
                raise ArchiveError("The archive is cut off.")
            found.append((entry.name, offset, entry.size))
        if size != at + len(layout.END) or self._file.read() != layout.END[BLOCK:]:
            raise ArchiveError("The archive does not end where it should.")
        return found

    def _read_manifest(self, found: list[tuple[str, int, int]]) -> Manifest:
        if not found or found[-1][0] != layout.MANIFEST:
            raise ArchiveError("The archive has no manifest at its end.")
        _, offset, size = found[-1]
        if size > layout.MOST_MANIFEST_BYTES:
            raise ArchiveError("The archive's manifest is larger than any that is read.")
        self._file.seek(offset)
        text = self._file.read(size)
        try:
            name, version = layout.read_head(text)
            if name == layout.FORMAT and version > layout.VERSION:
                raise ArchiveVersionError(
                    f"The archive is of version {version}; this service reads up to {layout.VERSION}."
                )
            if (name, version) != (layout.FORMAT, layout.VERSION):
                raise ArchiveError(_NOT_ONE)
            return layout.read_manifest(text)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ArchiveError(f"The archive's manifest cannot be read: {error}.") from error


def _entry(block: bytes, *, is_first: bool) -> tarfile.TarInfo:
    try:
        entry = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise ArchiveError(_NOT_ONE if is_first else "The archive is cut off or was changed.") from error
    if entry.type != tarfile.REGTYPE or entry.size < 0:
        raise ArchiveError("The archive holds something else than files: a link, a folder or a device.")
    if entry.name != layout.MANIFEST:
        try:
            layout.part_of(entry.name)
        except ValueError as error:
            raise ArchiveError("The archive holds a file of a name that no export writes.") from error
    return entry


def _parts(manifest: Manifest, found: list[tuple[str, int, int]]) -> list[list[Place]]:
    if [(file.name, file.size) for file in manifest.files] != [(name, size) for name, _, size in found[:-1]]:
        raise ArchiveError("The archive's files are not those that its manifest lists.")
    if manifest != layout.manifest_of(manifest.files):
        raise ArchiveError("The manifest's counts are not those of its files.")
    parts: list[list[Place]] = []
    order: list[tuple[int, int]] = []
    for listed, (name, offset, _) in zip(manifest.files, found, strict=False):
        kind, part = layout.part_of(name)
        order.append((part, layout.KINDS.index(kind)))
        if kind == "threads":
            parts.append([])
        if not parts or part != len(parts):
            raise ArchiveError("The archive's parts are not numbered one by one.")
        parts[-1].append(Place(listed, kind, part, offset))
    if order != sorted(set(order)):
        raise ArchiveError("The archive's files are not in their order.")
    return parts
