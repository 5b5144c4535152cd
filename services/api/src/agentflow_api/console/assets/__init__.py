"""Styles and scripts, under names that change with what is in them: browsers keep them for good."""

import hashlib
import mimetypes
from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
_SHIPPED: Final = frozenset({".css", ".js", ".svg"})


def asset_path(name: str) -> str:
    """Where a page finds a file."""
    return f"/console/assets/{_digest(name)}/{name}"


@cache
def asset(name: str) -> tuple[bytes, str] | None:
    """A file and its media type; None when there is none of that name."""
    if name not in _names():
        return None
    return (_FOLDER / name).read_bytes(), mimetypes.guess_type(name)[0] or "application/octet-stream"


def is_latest(name: str, digest: str) -> bool:
    """Whether an address means the file as it is here; of another version's page it may mean another one."""
    return _digest(name) == digest


@cache
def _names() -> frozenset[str]:
    return frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in _SHIPPED)


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()[:12]
