"""Spans of a run, one below the other, each where it lies in the run's time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

_WIDTH: Final = 30


def waterfall(spans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each: its name below its parent's, when it began after the run, how long it took.

    Args:
        spans: As `/v1/observability` has them, the run's own first.
    """
    if not spans:
        return []
    by_id = {span["span_id"]: span for span in spans}
    starts = {span["span_id"]: datetime.fromisoformat(span["started_at"]) for span in spans}
    first = min(starts.values())
    offsets = {name: (at - first).total_seconds() * 1000 for name, at in starts.items()}
    whole = max(offsets[span["span_id"]] + span["duration_ms"] for span in spans)
    return [
        {
            "span": "  " * _depth(span, by_id) + span["name"],
            "start_ms": round(offsets[span["span_id"]], 1),
            "duration_ms": round(span["duration_ms"], 1),
            "status": span["status"],
            "when": _bar(offsets[span["span_id"]], span["duration_ms"], whole),
        }
        for span in spans
    ]


def _depth(span: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> int:
    depth = 0
    above = by_id.get(span["parent_span_id"])
    while above is not None and depth < len(by_id):
        depth, above = depth + 1, by_id.get(above["parent_span_id"])
    return depth


def _bar(start_ms: float, duration_ms: float, whole_ms: float) -> str:
    """At least one mark wide, and inside of the whole."""
    scale = _WIDTH / whole_ms if whole_ms > 0 else 0
    begin = min(_WIDTH - 1, int(start_ms * scale))
    long = min(_WIDTH - begin, max(1, round(duration_ms * scale)))
    return "." * begin + "=" * long + "." * (_WIDTH - begin - long)
