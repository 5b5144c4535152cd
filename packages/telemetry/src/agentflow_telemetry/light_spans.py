"""Spans that stay in the process: counted, stored, and never exported.

All but a few of every hundred are that. The SDK's own span costs a multiple of it for what only an exporter
needs: a lock, attributes that are checked and copied, a copy of itself at its end. This one is its peer for
whoever makes spans or is told of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from operator import attrgetter
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util import types

_UNSET: Final = Status(StatusCode.UNSET)
_ERROR: Final = Status(StatusCode.ERROR)
# Whoever sets more loses it; runs have an event for each version.
_MOST_EVENTS: Final = 512


class Ended(Protocol):
    """Is told of spans that ended."""

    resource: Resource
    scope: InstrumentationScope

    def ended(self, span: LightSpan) -> None:
        """See there."""


class LightEvent(NamedTuple):
    """What happened within a span; to whoever reads it the SDK's own, without the calls that make one."""

    name: str
    attributes: Mapping[str, Any]
    timestamp: int


class LightSpan(Span):
    """Records; for one task or thread at a time, like the block that it stands for."""

    # As its base has them, without a call of Python for each: whoever is told of a span reads most of them.
    # Attributes are as they are; a copy would be made for each that asks.
    attributes = property(attrgetter("_attributes"))
    end_time = property(attrgetter("_end_time"))
    kind = property(attrgetter("_kind"))
    name = property(attrgetter("_name"))
    parent = property(attrgetter("_parent"))
    start_time = property(attrgetter("_start_time"))
    status = property(attrgetter("_status"))

    _home: Ended
    _own: SpanContext
    _attributes: dict[str, Any]
    # What most of them never have, once for all.
    _events: Sequence[Any] = ()
    _links: Sequence[Link] = ()
    _status = _UNSET
    _end_time: int | None = None

    @classmethod
    def begun(  # noqa: PLR0917 - called in one place
        cls,
        home: Ended,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, Any] | None,
        start_time: int | None,
    ) -> Self:
        """One that begins now, or at `start_time` (ns of the epoch)."""
        self = object.__new__(cls)  # past the SDK's own, which only its tracer may make
        self._home = home
        self._name = name
        self._own = self._context = context
        self._parent = parent
        self._kind = kind
        self._attributes = dict(attributes) if attributes else {}
        self._start_time = time.time_ns() if start_time is None else start_time
        return self

    def __repr__(self) -> str:
        return f"LightSpan({self._name!r})"

    @property
    def resource(self) -> Resource:
        """Of its provider."""
        return self._home.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """Of its tracer."""
        return self._home.scope

    def get_span_context(self) -> SpanContext:
        """See `opentelemetry.trace.Span`."""
        return self._own

    def is_recording(self) -> bool:
        """Until it ends."""
        return self._end_time is None

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """See `opentelemetry.trace.Span`."""
        if self._end_time is None:
            self._attributes.update(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        """See `opentelemetry.trace.Span`."""
        if self._end_time is None:
            self._attributes[key] = value

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        """See `opentelemetry.trace.Span`."""
        if self._end_time is None and len(self._events) < _MOST_EVENTS:
            at = time.time_ns() if timestamp is None else timestamp
            event = LightEvent(name, {} if attributes is None else attributes, at)
            if self._events:
                cast("list[LightEvent]", self._events).append(event)
            else:
                self._events = [event]

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        """See `opentelemetry.trace.Span`. Nobody in the process follows it."""

    def update_name(self, name: str) -> None:
        """See `opentelemetry.trace.Span`."""
        if self._end_time is None:
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """See `opentelemetry.trace.Span`. OK is final; a description may quote anything, and stays out."""
        code = status.status_code if isinstance(status, Status) else status
        if (
            self._end_time is None
            and code is not StatusCode.UNSET
            and self._status.status_code is not StatusCode.OK
        ):
            self._status = _ERROR if code is StatusCode.ERROR else Status(StatusCode.OK)

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """See `opentelemetry.trace.Span`. The kind alone: its words may quote anything."""
        self.add_event("exception", {"exception.type": type(exception).__name__}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """See `opentelemetry.trace.Span`. The first call counts."""
        if self._end_time is None:
            self._end_time = time.time_ns() if end_time is None else end_time
            self._home.ended(self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Ends; an error if one comes through."""
        if exc_val is not None and self.is_recording():
            self.record_exception(exc_val)
            self.set_status(StatusCode.ERROR)
        self.end()
