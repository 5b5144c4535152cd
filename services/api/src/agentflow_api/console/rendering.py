"""Templates, and how they show times, sizes and numbers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agentflow_api.console.assets import asset_path
from agentflow_api.console.charts.units import short_bytes

_FOLDER: Final = Path(__file__).parent / "templates"
_STEPS: Final = ((60, "second", 1), (3600, "minute", 60), (86400, "hour", 3600), (30 * 86400, "day", 86400))
_NOTHING: Final = "\N{EN DASH}"


def render(template: str, **values: Any) -> str:
    """A template's text. What it names must be given."""
    text = _environment().get_template(template).render(**values)
    # Half of a surrogate pair, out of JSON that a tool wrote, has no UTF-8.
    return text.encode("utf-8", "replace").decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,  # whatever a user wrote is text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(when=when, size=size, number=number, words=words)
    environment.globals["asset"] = asset_path
    return environment


def when(value: str | datetime | None, *, now: datetime | None = None) -> Markup:
    """A time as people say it, with the exact one (UTC) beside it; "never" for none."""
    if value is None:
        return Markup('<span class="none">never</span>')
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    exact = at.astimezone(UTC)
    said = _ago((exact - (now or datetime.now(UTC))).total_seconds())
    text = f"{exact:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact.isoformat(), text, said or text)


def size(value: float | None) -> str:
    """Bytes in the unit that reads best, the same as in charts; a dash for none."""
    return _NOTHING if value is None else short_bytes(value)


def number(value: float | None) -> str:
    """With thin groups of thousands; a dash for none."""
    if value is None:
        return _NOTHING
    text = (
        f"{value:,.0f}"
        if isinstance(value, int) or abs(value) >= 100
        else f"{value:,.2f}".rstrip("0").rstrip(".")
    )
    return text.replace(",", "\u202f")


def words(value: Any) -> str:
    """A value out of JSON as people read it: texts as they are, a list's side by side; a dash for none."""
    if value is None or value == []:
        return _NOTHING
    if isinstance(value, list):
        return ", ".join(map(words, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _ago(seconds: float) -> str:
    away = abs(seconds)
    if away < 1:
        return "just now"
    for below, unit, length in _STEPS:
        if away < below:
            count = int(away / length)
            text = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"in {text}" if seconds > 0 else f"{text} ago"
    return ""
