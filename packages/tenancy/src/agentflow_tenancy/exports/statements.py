"""The statements of exports and imports, with a tenant's placements in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARTS: Final = _HEADER.split(
    resources.files(__package__).joinpath("archive.sql").read_text(encoding="utf-8")
)
STATEMENTS: Final = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))


def reading(name: str, places: Sequence[int]) -> str:
    """A statement for the placements that a tenant's threads may be in."""
    return _text(name, ", ".join(str(int(place)) for place in places))


def writing(name: str, placement: int) -> str:
    """A statement for the placement that a tenant's threads are made in."""
    return _text(name, str(int(placement)))


@lru_cache(maxsize=4096)
def _text(name: str, places: str) -> str:
    text = _body(name).replace("{part}", _body("part"))
    return text.replace("{places}", places).replace("{placement}", places)


def _body(name: str) -> str:
    return "\n".join(line for line in STATEMENTS[name].strip().splitlines() if not line.startswith("--"))
