"""The named statements of the `.sql` files beside this one."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def _parse(text: str) -> dict[str, str]:
    parts = _HEADER.split(text)[1:]
    bodies = zip(parts[::2], parts[1::2], strict=True)
    return {name: _without_comments(body) for name, body in bodies}


def _without_comments(body: str) -> str:
    """Comments are for whoever reads the file; the server need not parse them."""
    return "\n".join(line for line in body.strip().splitlines() if not line.startswith("--"))


def _file(name: str) -> dict[str, str]:
    return _parse(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


QUERIES: Final = {**_file("queries.sql"), **_file("langgraph.sql"), **_file("upkeep.sql")}
