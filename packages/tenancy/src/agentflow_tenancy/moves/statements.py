"""The mover's statements, with the numbers of two placements in them."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARTS: Final = _HEADER.split(resources.files(__package__).joinpath("move.sql").read_text(encoding="utf-8"))
STATEMENTS: Final = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))
CHILDREN: Final = ("move_checkpoints", "move_messages", "move_tool_calls", "move_writes")
_PARENTS: Final = frozenset(
    f"agentflow_{name}" for name in ("threads", "checkpoints", "messages", "tool_calls", "writes")
)


@lru_cache(maxsize=1024)
def between(name: str, source: int, target: int) -> str:
    """A statement for two placements."""
    text = STATEMENTS[name].replace("{source}", str(int(source))).replace("{target}", str(int(target)))
    return "\n".join(line for line in text.strip().splitlines() if not line.startswith("--"))


def detachment(parent: str, placement: int, *, finalize: bool) -> str:
    """Takes a leaf away from its parent while others read and write it.

    Raises:
        ValueError: That is no table of ours.
    """
    if parent not in _PARENTS:
        raise ValueError(f"{parent} has no leaves")
    name = "finish_detachment" if finalize else "detach"
    return between(name, placement, placement).replace("{parent}", parent)
