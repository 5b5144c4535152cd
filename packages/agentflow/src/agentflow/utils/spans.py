"""Spans for whoever listens with OpenTelemetry; about nothing for everybody else.

OpenTelemetry is never imported here: as long as nobody did, nobody can have set a tracer provider.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from agentflow.utils import span_names as names
from agentflow.utils.counted_leaf import Attributes, CountedLeaf, Kind, reason_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_MAX_TEXT: Final = 255


class NoSpan:
    """Stands for a span when nobody listens; the same one everywhere."""

    __slots__ = ()
    recording: Final = False
    sampled: Final = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def end(self, error: BaseException | None = None) -> None:
        """Nobody asked."""

    def note(self, attributes: Attributes) -> None:
        """Nobody asked."""

    def fail(self, reason: str) -> None:
        """Nobody asked."""


class LiveSpan:
    """A span for the length of a block; by default the parent of those that begin in it.

    Attributes:
        sampled: Whether it leaves the process: what only somebody who looks at a trace wants is told then.
    """

    __slots__ = ("_contexts", "_is_parent", "_span", "_token", "_trace", "sampled")
    recording: Final = True

    def __init__(self, trace: Any, span: Span, *, is_parent: bool, may_leave: bool) -> None:
        self._trace = trace
        self._contexts: Any = sys.modules["opentelemetry.context"]
        self._span = span
        self._token: Any = None
        self.sampled = may_leave and bool(span.get_span_context().trace_flags & 1)
        self._is_parent = is_parent or self.sampled

    def __enter__(self) -> Self:
        if self._is_parent:
            self._token = self._contexts.attach(_context_with(self._span))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            self._contexts.detach(self._token)
        self.end(exc)

    def end(self, error: BaseException | None = None) -> None:
        """End one that no block was entered for; with what went wrong, if anything did."""
        reason = reason_of(error)
        if reason is not None:
            self.fail(reason)
        self._span.end()

    def note(self, attributes: Attributes) -> None:
        """Add what is known by now."""
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        """It went wrong; the reason is a code or the name of a class: an error's words may quote anything."""
        self._span.set_attribute(names.ERROR, reason)
        self._span.set_status(self._trace.StatusCode.ERROR)


AnySpan = NoSpan | LiveSpan | CountedLeaf
NO_SPAN: Final = NoSpan()

_Tell = Callable[[CountedLeaf], None]
_Known = tuple[object, "Tracer | None", "Tracer | None", bool, _Tell | None]
# The provider last seen, its tracers, of runs and of storage, whether any trace of it may be exported, and
# who counts spans of storage that are not.
_known: _Known = (None, None, None, False, None)
_kinds: dict[str, Any] = {}
_keys: list[str] = []


def listening() -> bool:
    """Whether a span would be recorded by anybody. Cost: below a microsecond."""
    return _tracers()[1] is not None


def open_span(name: str, attributes: Attributes, *, kind: Kind = "INTERNAL") -> AnySpan:
    """A span, begun here; enter it to make it the parent of others and to end it.

    Call it only when `listening()`, so that nobody else pays for the attributes.

    Args:
        name: Of what was done, with few values.
        attributes: Named in `span_names`.
        kind: CLIENT for a call to another service.
    """
    _, tracer, _, may_leave, _ = _tracers()
    if tracer is None:
        return NO_SPAN
    return _opened(tracer, name, attributes, kind, is_parent=True, may_leave=may_leave)


def open_leaf(name: str, attributes: Attributes, *, kind: Kind = "INTERNAL") -> AnySpan:
    """The same for what storage does: others begin below it only when the trace leaves the process.

    Where the provider says, by `tell_leaf`, who counts the others, they are no more than that.
    """
    _, _, tracer, may_leave, tell = _tracers()
    if tracer is None:
        return NO_SPAN
    if tell is not None and not (may_leave and _may_be_exported()):
        return CountedLeaf(tell, name, attributes, kind)
    return _opened(tracer, name, attributes, kind, is_parent=False, may_leave=may_leave)


def sampled_span() -> Span | None:
    """The span that is open here, if its trace leaves the process.

    Cost: two microseconds; a quarter of one where the provider says, by `samples`, that none does.
    """
    if not _tracers()[3]:
        return None
    span = _current()
    return span if span.get_span_context().trace_flags & 1 else None


class _Attached:
    __slots__ = ("_contexts", "_span", "_token")

    def __init__(self, span: Span) -> None:
        self._contexts: Any = sys.modules["opentelemetry.context"]
        self._span = span

    def __enter__(self) -> None:
        self._token = self._contexts.attach(_context_with(self._span))

    def __exit__(self, *_: object) -> None:
        self._contexts.detach(self._token)


def attached(span: Span | None) -> AbstractContextManager[object]:
    """Spans that begin in the block stand below another one: for work that somebody else waits for."""
    return NO_SPAN if span is None else _Attached(span)


def note_current(attributes: Attributes) -> None:
    """Add to the span that is open here, whoever opened it."""
    if _tracers()[1] is not None:
        _current().set_attributes(attributes)


def note_checkpoint(version: int, node: str, source: str) -> None:
    """An event in the run's span, when somebody listens."""
    if _tracers()[1] is None:
        return
    span = _current()
    if span.is_recording():
        found: dict[str, str | int] = {names.CHECKPOINT: version, names.NODE: node, names.SOURCE: source}
        span.add_event(names.CHECKPOINT_EVENT, found)


def short(text: str) -> str:
    """Others' words, as a span may hold them: their beginning, without what breaks who reads it."""
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _opened(
    tracer: Tracer, name: str, attributes: Attributes, kind: Kind, *, is_parent: bool, may_leave: bool
) -> AnySpan:
    trace = sys.modules["opentelemetry.trace"]
    if not _kinds:
        _kinds.update({one.name: one for one in trace.SpanKind})
    span = tracer.start_span(name, kind=_kinds[kind], attributes=attributes)
    if not span.is_recording():
        return NO_SPAN
    return LiveSpan(trace, span, is_parent=is_parent, may_leave=may_leave)


def _may_be_exported() -> bool:
    """Whether a span that begins here leaves the process, or is the first one of a trace, which may."""
    above = _current().get_span_context()
    return not above.is_valid or above.is_remote or bool(above.trace_flags & 1)


def _current() -> Span:
    """As `get_current_span` finds it, in a third of the calls; a turn asks a dozen times."""
    span: Span | None = sys.modules["opentelemetry.context"].get_current().get(_span_key())
    return sys.modules["opentelemetry.trace"].INVALID_SPAN if span is None else span


def _context_with(span: Span) -> Context:
    """As `set_span_in_context` makes it."""
    contexts = sys.modules["opentelemetry.context"]
    made: Context = contexts.Context({**contexts.get_current(), _span_key(): span})
    return made


def _span_key() -> str:
    """Under which a context has its span."""
    if not _keys:
        trace, contexts = sys.modules["opentelemetry.trace"], sys.modules["opentelemetry.context"]
        _keys.extend(trace.set_span_in_context(trace.INVALID_SPAN, contexts.Context()))
    return _keys[0]


def _tracers() -> _Known:
    global _known  # noqa: PLW0603 - a cache of one
    trace = sys.modules.get("opentelemetry.trace")
    known = _known
    if known[1] is not None and getattr(trace, "_TRACER_PROVIDER", None) is known[0]:
        return known  # nearly always: a span or two dozen questions a turn
    ask = getattr(trace, "get_tracer_provider", None)
    if ask is None:  # not imported, or not yet to its end
        return _NOBODY
    # As long as none was set it would look into the environment, each time.
    if known[0] is not None and known[1] is None and getattr(trace, "_TRACER_PROVIDER", trace) is None:
        return known
    provider = ask()
    if provider is not known[0]:
        is_none = isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)  # type: ignore[union-attr]
        run, storage = (
            (None, None) if is_none else map(provider.get_tracer, (names.SCOPE, names.STORAGE_SCOPE))
        )
        samples = not is_none and getattr(provider, "samples", True)
        known = _known = (provider, run, storage, samples, getattr(provider, "tell_leaf", None))
    return known


_NOBODY: Final = (None, None, None, False, None)
