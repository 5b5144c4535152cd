"""What a run did, as it is stored: bounded, and of our own spans only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import StatusCode

from agentflow.utils import span_names as names
from agentflow.utils.jsontext import dumped_text

MOST_SPANS: Final = 200
MOST_BYTES: Final = 64 * 1024
_MOST_TEXT: Final = 255

# What the row says anyway, and with ids as only the store has them; and what was said, which the thread has.
_ABOUT_THE_RUN: Final = {
    names.TENANT, names.PLACEMENT, names.THREAD_NO, names.RUN, names.CONVERSATION, names.AGENT,
    names.INPUT_MESSAGES, names.OUTPUT_MESSAGES,
}  # fmt: skip


@dataclass(slots=True)
class EndedRun:
    """The spans of a run that ended, as they were recorded.

    Attributes:
        span: Of the run itself.
        parts: Spans of its nodes, tools and model calls, in the order they ended, each with its parent's id.
        lost: How many more there were.
        begun: Spans below it that have not ended.
    """

    tenant_id: uuid.UUID
    thread_id: str
    run_id: str
    span: ReadableSpan
    parts: list[tuple[ReadableSpan, int]] = field(default_factory=list)
    lost: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    begun: set[tuple[int, int]] = field(default_factory=set)

    @property
    def key(self) -> tuple[uuid.UUID, str, str]:
        """Of its row."""
        return self.tenant_id, self.thread_id, self.run_id

    def as_json(self) -> bytes:
        """Values of its row, as a JSON object."""
        said = self.span.attributes or {}
        above = self.span.parent
        spans = [
            _span(self.span, None if above is None else above.span_id),
            *(_span(span, parent) for span, parent in self.parts),
        ]
        spans.sort(key=lambda span: str(span["started_at"]))
        kept, spans_text = _within(spans, MOST_BYTES)
        _, events_text = _within([_event(event) for event in self.span.events], MOST_BYTES)
        columns = {
            "tenant_id": str(self.tenant_id),
            "thread_id": self.thread_id,
            "run_id": self.run_id,
            "attempt": format(ids_of(self.span)[1], "016x"),
            "thread_no": _number(said, names.THREAD_NO),
            "head": _number(said, names.CHECKPOINT),
            "status": _text(said.get(names.STATUS, "error")),
            "started_at": _time(self.span.start_time),
            "finished_at": _time(self.span.end_time),
            "steps": _number(said, names.STEPS),
            "llm_calls": self.llm_calls,
            "tool_calls": self.tool_calls,
            "tokens_in": _number(said, names.TOKENS_IN),
            "tokens_out": _number(said, names.TOKENS_OUT),
            "spans": orjson.Fragment(spans_text),
            "events": orjson.Fragment(events_text),
            "spans_lost": self.lost + len(spans) - kept,
        }
        return orjson.dumps(columns)


def ids_of(span: ReadableSpan) -> tuple[int, int]:
    """Of its trace, and its own."""
    context = span.get_span_context()
    return (0, 0) if context is None else (context[0], context[1])


def _span(span: ReadableSpan, parent: int | None) -> dict[str, Any]:
    started, ended = span.start_time or 0, span.end_time or 0
    trace_id, span_id = ids_of(span)
    return {
        "span_id": format(span_id, "016x"),
        "parent_span_id": None if parent is None else format(parent, "016x"),
        "trace_id": format(trace_id, "032x"),
        "name": _text(span.name),
        "started_at": _time(started),
        "finished_at": _time(ended),
        "duration_ms": round((ended - started) / 1e6, 3),
        "status": "error" if span.status.status_code is StatusCode.ERROR else "ok",
        "attributes": _attributes(span.attributes),
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "name": _text(event.name),
        "at": _time(event.timestamp),
        "attributes": _attributes(event.attributes),
    }


def _attributes(found: Mapping[str, Any] | None) -> dict[str, Any]:
    if not found:
        return {}
    return {name: _value(value) for name, value in found.items() if name not in _ABOUT_THE_RUN}


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value
    if isinstance(value, Sequence):
        return [_text(one) for one in value[:8]]
    return _text(value)


def _text(value: object) -> str:
    """Text that jsonb can hold."""
    if isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= _MOST_TEXT:
        return value
    return str(value)[:_MOST_TEXT].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _number(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name)
    return value if isinstance(value, int) else 0


def _time(nanoseconds: int | None) -> str:
    seconds, rest = divmod(nanoseconds or 0, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}+00:00"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """A run has a dozen times, all of the same few seconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def _within(items: list[dict[str, Any]], most_bytes: int) -> tuple[int, bytes]:
    """The first of them, as many as fit: how many, and their JSON array. Most often all, encoded once."""
    text = _dumped(items)
    if len(text) <= most_bytes:
        return len(items), text
    size, kept = 0, []
    for item in items:
        size += len(one := _dumped(item))
        if size > most_bytes:
            break
        kept.append(one)
    return len(kept), b"[" + b",".join(kept) + b"]"


def _dumped(data: Any) -> bytes:
    """As JSON; floats are finite here, since durations are the only ones."""
    try:
        return orjson.dumps(data)
    except TypeError:  # an integer that it does not take
        return dumped_text(data, field="trace").encode()
