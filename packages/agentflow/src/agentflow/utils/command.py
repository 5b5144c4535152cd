"""A node's answer that also says where to go next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """State update and control flow in one return value.

    Attributes:
        update: Anything a node may return by itself: message(s), partial dict, state or None.
        goto: Name of the next node, several for a fan-out, or END; it replaces the node's edges.
            None leaves the edges in force.
    """

    update: Any = None
    goto: str | list[str] | None = None
