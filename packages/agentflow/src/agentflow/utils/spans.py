"""Spans for whoever listens with OpenTelemetry; about nothing for everybody else.

OpenTelemetry is never imported here: as long as nobody did, nobody can have set a tracer provider.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from agentflow.errors import AgentFlowError
from agentflow.utils import span_names as names
from agentflow.utils.interrupt import GraphInterrupt

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanKind, Tracer

    Attributes = Mapping[str, str | int | bool | list[str]]

_MAX_TEXT: Final = 255


class NoSpan:
    """Stands for a span when nobody listens; the same one everywhere."""

    __slots__ = ()
    recording: Final = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, attributes: Attributes) -> None:
        """Nobody asked."""

    def fail(self, reason: str) -> None:
        """Nobody asked."""


class LiveSpan:
    """A span for the length of a block, and the parent of those that begin in it."""

    __slots__ = ("_contexts", "_span", "_token", "_trace")
    recording: Final = True

    def __init__(self, trace: Any, span: Span) -> None:
        self._trace = trace
        self._contexts: Any = sys.modules["opentelemetry.context"]
        self._span = span
        self._token: Any = None

    def __enter__(self) -> Self:
        self._token = self._contexts.attach(self._trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._contexts.detach(self._token)
        if exc is not None and not isinstance(exc, GraphInterrupt):
            self.fail(exc.code if isinstance(exc, AgentFlowError) else type(exc).__name__)
        self._span.end()

    def note(self, attributes: Attributes) -> None:
        """Add what is known by now."""
        for name, value in attributes.items():
            self._span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        """It went wrong; the reason is a code or the name of a class: an error's words may quote anything."""
        self._span.set_attribute(names.ERROR, reason)
        self._span.set_status(self._trace.StatusCode.ERROR)


AnySpan = NoSpan | LiveSpan
_NONE: Final = NoSpan()

# The provider last seen, and its tracer.
_known: tuple[object, Tracer | None] = (None, None)


def listening() -> bool:
    """Whether a span would be recorded by anybody. Cost: below a microsecond."""
    return _tracer() is not None


def open_span(name: str, attributes: Attributes, *, to_outside: bool = False) -> AnySpan:
    """A span, begun here; enter it to make it the parent of others and to end it.

    Call it only when `listening()`, so that nobody else pays for the attributes.

    Args:
        name: Of what was done, with few values.
        attributes: Named in `span_names`.
        to_outside: Whether it is a call to another service.
    """
    tracer = _tracer()
    if tracer is None:
        return _NONE
    trace = sys.modules["opentelemetry.trace"]
    kind: SpanKind = trace.SpanKind.CLIENT if to_outside else trace.SpanKind.INTERNAL
    span = tracer.start_span(name, kind=kind, attributes=attributes)
    return LiveSpan(trace, span) if span.is_recording() else _NONE


def note_checkpoint(version: int, node: str, source: str) -> None:
    """An event in the run's span, when somebody listens."""
    if _tracer() is None:
        return
    span = sys.modules["opentelemetry.trace"].get_current_span()
    if span.is_recording():
        found = {names.CHECKPOINT: version, names.NODE: node, names.SOURCE: source}
        span.add_event(names.CHECKPOINT_EVENT, found)


def no_span() -> AnySpan:
    """What stands for a span when nobody listens."""
    return _NONE


def short(text: str) -> str:
    """Others' words, as a span may hold them: their beginning, without what breaks who reads it."""
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _tracer() -> Tracer | None:
    global _known  # noqa: PLW0603 - a cache of one
    trace = sys.modules.get("opentelemetry.trace")
    ask = getattr(trace, "get_tracer_provider", None)
    if ask is None:  # not imported, or not yet to its end
        return None
    provider = ask()
    known = _known
    if provider is not known[0]:
        is_none = isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)  # type: ignore[union-attr]
        known = _known = (provider, None if is_none else provider.get_tracer(names.SCOPE))
    return known[1]
