"""A run's spans as a waterfall."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from agentflow.utils import span_names as names
from agentflow_api.console.charts import Span, span_bar

_KINDS: Final = {
    names.RUN_SPAN: "run",
    names.MODEL_SPAN: "model",
    names.TOOL_SPAN: "tool",
}
_MOST_DEPTH: Final = 8
# Said by the row itself.
_TOLD: Final = frozenset({names.OPERATION, names.TOKENS_IN, names.TOKENS_OUT})


@dataclass(frozen=True, slots=True)
class Row:
    """A span of the waterfall.

    Attributes:
        depth: Of its indent; 0 is the run.
        kind: run, node, model, tool or other.
        tokens: In and out; None where no model was asked.
        bar: Its time in the run's, as SVG.
        details: The rest of what it says, name and value.
    """

    depth: int
    kind: str
    name: str
    failed: bool
    duration_ms: float
    tokens: tuple[int, int] | None
    bar: Markup
    details: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A run's rows, each below the one it is part of; empty where no spans are stored."""

    rows: list[Row]
    whole_ms: float


def waterfall_of(run: Mapping[str, Any]) -> Waterfall:
    """The waterfall of a run, as `/v1/observability` shows it.

    A span whose parent is not there (dropped, or of the request) is at the top. Several attempts of a run
    each have a span of their own: the whole begins with the first and ends with the last.
    """
    spans: Sequence[Mapping[str, Any]] = run["spans"]
    if not spans:
        return Waterfall([], 0)
    begin = min(_at(span["started_at"]) for span in spans)
    whole_ms = max(_after(begin, span) + float(span["duration_ms"]) for span in spans)
    rows = [_row(span, depth, begin, whole_ms) for span, depth in _in_order(spans)]
    return Waterfall(rows, whole_ms)


def _in_order(spans: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Each below its parent, those of one parent by their times."""
    known = {span["span_id"] for span in spans}
    below: dict[str | None, list[Mapping[str, Any]]] = {}
    for span in sorted(spans, key=lambda one: str(one["started_at"])):
        parent = span["parent_span_id"]
        below.setdefault(parent if parent in known and parent != span["span_id"] else None, []).append(span)
    waiting = [(span, 0) for span in reversed(below.pop(None, []))]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        # Popped: spans that name each other as parents are never reached twice.
        waiting.extend((one, depth + 1) for one in reversed(below.pop(span["span_id"], [])))


def _row(span: Mapping[str, Any], depth: int, begin: datetime, whole_ms: float) -> Row:
    said: Mapping[str, Any] = span["attributes"]
    kind = _KINDS.get(str(said.get(names.OPERATION)), "node" if names.NODE in said else "other")
    failed = span["status"] == "error"
    name, duration = str(span["name"]), float(span["duration_ms"])
    drawn = Span(name, "error" if failed else kind, _after(begin, span), duration)
    return Row(
        depth=min(depth, _MOST_DEPTH),
        kind=kind,
        name=name,
        failed=failed,
        duration_ms=duration,
        tokens=_tokens(said),
        bar=span_bar(drawn, whole_ms),
        details=[(key, _word(value)) for key, value in said.items() if key not in _TOLD],
    )


def _tokens(said: Mapping[str, Any]) -> tuple[int, int] | None:
    if names.TOKENS_IN not in said and names.TOKENS_OUT not in said:
        return None
    return int(said.get(names.TOKENS_IN) or 0), int(said.get(names.TOKENS_OUT) or 0)


def _word(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _after(begin: datetime, span: Mapping[str, Any]) -> float:
    return (_at(span["started_at"]) - begin).total_seconds() * 1000


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a run made durable; `checkpoint` is 0 if it is none."""

    name: str
    at: datetime
    checkpoint: int
    node: str


def events_of(run: Mapping[str, Any]) -> list[Event]:
    """A run's events, oldest first."""
    return [
        Event(
            str(one["name"]),
            _at(one["at"]),
            int(one["attributes"].get(names.CHECKPOINT) or 0),
            str(one["attributes"].get(names.NODE) or ""),
        )
        for one in run["events"]
    ]
