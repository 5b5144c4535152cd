"""The statements of a purge, for one placement or one table."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARTS: Final = _HEADER.split(resources.files(__package__).joinpath("purge.sql").read_text(encoding="utf-8"))
_STATEMENTS: Final = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))
_TABLE: Final = re.compile(r"[a-z_][a-z_0-9]{0,62}", re.ASCII)


def statement(name: str) -> str:
    """One that is the same everywhere."""
    return _without_comments(_STATEMENTS[name])


@lru_cache(maxsize=1024)
def at_placement(name: str, placement: int) -> str:
    """One for a placement."""
    return statement(name).replace("{placement}", str(int(placement)))


def of_table(name: str, table: str) -> str:
    """One for a table that the catalogue named.

    Raises:
        ValueError: No table of ours has such a name.
    """
    if not _TABLE.fullmatch(table):
        raise ValueError(f"{table!r} is no table of ours")
    return statement(name).replace("{table}", table)


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.strip().splitlines() if not line.startswith("--"))
