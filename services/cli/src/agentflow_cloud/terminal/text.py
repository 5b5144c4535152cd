"""What people read: tables, and text that is safe on a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def shown(value: Any) -> str:
    """A value as a cell shows it; nothing in it can steer the terminal."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return ",".join(shown(item) for item in value) or "-"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={shown(item)}" for name, item in value.items()) or "-"
    return "".join(character if character.isprintable() else "?" for character in str(value))


def table(columns: Sequence[str], entries: Iterable[Mapping[str, Any]]) -> str:
    """Entries below the names of their columns, aligned."""
    rows = [
        [name.upper() for name in columns],
        *([shown(entry[name]) for name in columns] for entry in entries),
    ]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def sheet(entry: Mapping[str, Any]) -> str:
    """One entry, a field a line."""
    width = max(map(len, entry))
    return "\n".join(f"{name:{width}}  {shown(value)}" for name, value in entry.items())


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
