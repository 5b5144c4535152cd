"""What was used beside what may be."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agentflow_cloud.terminal.screen import is_terminal
from agentflow_cloud.terminal.tables import say_table
from agentflow_cloud.terminal.values import size

_COLUMNS: Final = ("quota", "used", "limit", "part")
# The limits that add up, and where the answer has what was used of them.
_PLACES: Final = (
    ("tokens_per_day", "today", "tokens"),
    ("checkpoints_per_day", "today", "checkpoints"),
    ("threads", "kept", "threads"),
    ("stored_bytes", "kept", "stored_bytes"),
)


def quotas(usage: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """A line for each limit that adds up.

    Args:
        usage: As `/v1/usage` answers it.
    """
    lines = []
    for name, place, what in _PLACES:
        used, limit = usage[place][what], usage["limits"].get(name)
        part = f"{used / limit:.0%}" if limit else None
        lines.append({"quota": name, "used": used, "limit": limit, "part": part})
    return lines


def say_quotas(usage: Mapping[str, Any]) -> None:
    """Print them as a table."""
    say_table(_COLUMNS, [_with_units(line) for line in quotas(usage)])


def _with_units(line: dict[str, Any]) -> dict[str, Any]:
    if line["quota"] != "stored_bytes" or not is_terminal():
        return line
    sizes = {name: None if line[name] is None else size(line[name]) for name in ("used", "limit")}
    return {**line, **sizes}
