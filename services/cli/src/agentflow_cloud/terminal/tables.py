"""Tables and sheets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentflow_cloud.terminal.screen import console, is_terminal
from agentflow_cloud.terminal.text import sheet, table
from agentflow_cloud.terminal.values import readable, style_of


def say_table(columns: Sequence[str], entries: Iterable[Mapping[str, Any]]) -> None:
    """Print entries below the names of their columns."""
    if is_terminal():
        _draw_table(columns, entries)
    else:
        print(table(columns, entries))


def say_sheet(entry: Mapping[str, Any]) -> None:
    """Print one entry, a field a line."""
    if is_terminal():
        _draw_sheet(entry)
    else:
        print(sheet(entry))


def _draw_table(columns: Sequence[str], entries: Iterable[Mapping[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    rows = list(entries)
    for name in columns:
        is_number = all(isinstance(row[name], int | float | None) for row in rows)
        drawn.add_column(name.upper(), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(readable(name, row[name]), style_of(name, row[name])) for name in columns))
    console().print(drawn)
    if not rows:
        console().print("None.", style="dim")


def _draw_sheet(entry: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in entry.items():
        drawn.add_row(Text(name), Text(readable(name, value), style_of(name, value)))
    console().print(drawn)
