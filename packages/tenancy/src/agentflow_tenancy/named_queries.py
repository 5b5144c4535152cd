"""Statements by name, out of a file: `-- name: x` begins each."""

import re
from collections.abc import Iterator
from typing import Final

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def named(file_text: str) -> Iterator[tuple[str, str]]:
    """Each statement with its name."""
    parts = _HEADER.split(file_text)
    return zip(parts[1::2], parts[2::2], strict=True)
