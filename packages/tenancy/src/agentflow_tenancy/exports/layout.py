"""The layout of an archive: a tar file of JSON lines in numbered parts, with a manifest behind them.

Each part holds some threads whole: `threads-000001.jsonl`, `checkpoints-...`, `messages-...`, `tools-...` and
`writes-...`, those that are empty left out. Nothing in it depends on where or when it was made: exporting
what was imported gives the same bytes. docs/reference/export-archive.md describes it for readers.
"""

from __future__ import annotations

import re
import tarfile
from typing import Annotated, Final

import msgspec

FORMAT: Final = "agentflow-export"
VERSION: Final = 1
KINDS: Final = ("threads", "checkpoints", "messages", "tools", "writes")
MANIFEST: Final = "manifest.json"
BLOCK: Final = tarfile.BLOCKSIZE
# Two empty blocks, and no filling up to a record as tapes had.
END: Final = b"\0" * (2 * BLOCK)
# So many rows are a part, but one thread at least.
PART_ROWS: Final = 8192
PART_THREADS: Final = 1024
MOST_MANIFEST_BYTES: Final = 32 * 1024 * 1024

_NAME: Final = re.compile(rf"({'|'.join(KINDS)})-(\d{{6,9}})\.jsonl", re.ASCII)


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of an archive, as the manifest has it."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    lines: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an archive says of itself."""

    format: str
    version: int
    counts: dict[str, int]
    files: list[Listed]


class _Head(msgspec.Struct, frozen=True):
    """What of a manifest is read whatever its version."""

    format: str
    version: int


def manifest_of(files: list[Listed]) -> Manifest:
    """The manifest of an archive with these files."""
    counts = dict.fromkeys(KINDS, 0)
    for file in files:
        counts[part_of(file.name)[0]] += file.lines
    return Manifest(FORMAT, VERSION, counts, files)


def manifest_text(manifest: Manifest) -> bytes:
    """As it stands in the archive."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def read_head(text: bytes) -> tuple[str, int]:
    """Format and version. Raises what msgspec raises."""
    head = msgspec.json.decode(text, type=_Head)
    return head.format, head.version


def read_manifest(text: bytes) -> Manifest:
    """Raises what msgspec raises."""
    return msgspec.json.decode(text, type=Manifest)


def name_of(kind: str, part: int) -> str:
    """The name of a part's file."""
    return f"{kind}-{part:06d}.jsonl"


def part_of(name: str) -> tuple[str, int]:
    """Kind and number of a file.

    Raises:
        ValueError: No archive has a file of that name.
    """
    found = _NAME.fullmatch(name)
    if found is None or name != name_of(found[1], int(found[2])):
        raise ValueError(name)
    return found[1], int(found[2])


def header(name: str, size: int) -> bytes:
    """The block before a file: no owner, no time."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def filling(size: int) -> bytes:
    """What fills a file's last block."""
    return b"\0" * (-size % BLOCK)
