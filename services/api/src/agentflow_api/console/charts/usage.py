"""Usage by the day or hour as charts, and beside what is allowed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from markupsafe import Markup

from agentflow_api.console.charts import (
    BYTES,
    COUNT,
    Chart,
    Place,
    Series,
    Unit,
    bar_chart,
    line_chart,
    meter,
    places_in_time,
)
from agentflow_api.console.charts.data import By

_STEP: Final[dict[By, timedelta]] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_UNITS: Final = {"stored_bytes": BYTES, "message_bytes": BYTES, "state_bytes": BYTES}
_NAMES: Final = {
    "requests_per_minute": "Requests a minute",
    "burst": "Requests at once",
    "concurrent_runs": "Runs at the same time",
    "queued_runs": "Runs that wait",
    "message_bytes": "Size of a message",
    "state_bytes": "Size of a state",
    "thread_messages": "Messages of a thread",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota with what is used of it: as words and a bar."""

    name: str
    when: str
    bar: Markup


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of which no use is counted."""

    name: str
    text: str


def first_of_month(now: datetime) -> datetime:
    """When the month began, in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def quotas_of(usage: Mapping[str, Any], now: datetime) -> list[Quota]:
    """Each quota of a tenant, from its usage by the day."""
    limits: Mapping[str, int] = usage["limits"]
    kept: Mapping[str, int] = usage["kept"]
    today = _of_day(usage, now)
    rows = [
        ("Threads", "kept now", kept["threads"], "threads"),
        ("Storage", "kept now", kept["stored_bytes"], "stored_bytes"),
        ("Tokens", "today (UTC)", today["tokens_in"] + today["tokens_out"], "tokens_per_day"),
        ("Checkpoints", "today (UTC)", today["checkpoints"], "checkpoints_per_day"),
    ]
    return [
        Quota(name, when, meter(name, used, limits.get(limit), _unit(limit)))
        for name, when, used, limit in rows
    ]


def limits_of(usage: Mapping[str, Any]) -> list[Limit]:
    """The other limits, in words."""
    limits: Mapping[str, int] = usage["limits"]
    return [Limit(text, _unit(name).short(limits[name])) for name, text in _NAMES.items() if name in limits]


def daily_series(usage: Mapping[str, Any], name: str) -> tuple[list[Place], list[float]]:
    """One count of a usage by the day; a day without a bucket is one without usage."""
    starts = list(_starts(usage, "day"))
    return places_in_time(starts, "day"), _values(usage, starts, name)


def charts_of(usage: Mapping[str, Any], by: By) -> list[Markup]:
    """Runs, tokens, checkpoints and storage over the time of an answer of `/v1/usage`."""
    starts = list(_starts(usage, by))
    places, heading = places_in_time(starts, by), by.capitalize()

    def chart(title: str, **names: str) -> Chart:
        series = [Series(label, _values(usage, starts, name)) for name, label in names.items()]
        return Chart(title, places, series, COUNT, heading)

    stored = _kept_then(usage["kept"]["stored_bytes"], _values(usage, starts, "stored_bytes"))
    return [
        bar_chart(chart("Runs", runs="runs")),
        bar_chart(chart("Tokens", tokens_in="in", tokens_out="out")),
        bar_chart(chart("Checkpoints", checkpoints="checkpoints")),
        line_chart(Chart("Storage kept", places, [Series("stored", stored)], BYTES, heading)),
    ]


def _values(usage: Mapping[str, Any], starts: Sequence[datetime], name: str) -> list[float]:
    buckets = {_aware(one["start"]): one for one in usage["buckets"]}
    return [buckets[start][name] if start in buckets else 0 for start in starts]


def _kept_then(now: int, changes: Sequence[float]) -> list[float]:
    """What was kept at the end of each place, from what is kept now and how it changed."""
    levels, level = [], float(now)
    for change in reversed(changes):
        levels.append(max(level, 0))
        level -= change
    return levels[::-1]


def _starts(usage: Mapping[str, Any], by: By) -> Iterator[datetime]:
    start, until = _aware(usage["from"]), _aware(usage["to"])
    if by == "day":
        start = start.replace(hour=0)
    while start < until:
        yield start
        start += _STEP[by]


def _of_day(usage: Mapping[str, Any], now: datetime) -> Mapping[str, int]:
    day = now.astimezone(UTC).date()
    nothing = {"tokens_in": 0, "tokens_out": 0, "checkpoints": 0}
    return next((one for one in usage["buckets"] if _aware(one["start"]).date() == day), nothing)


def _unit(limit: str) -> Unit:
    return _UNITS.get(limit, COUNT)


def _aware(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
