"""A provider whose traces are exported or kept in the process, each as a whole, at what that costs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from opentelemetry.context import Context, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.span import DEFAULT_TRACE_STATE
from opentelemetry.util import types
from opentelemetry.util._decorator import _agnosticcontextmanager

from agentflow_telemetry import names
from agentflow_telemetry.leaves import CountsLeaves, Leaf
from agentflow_telemetry.light_spans import LightSpan

_NOT_SAMPLED: Final = TraceFlags(0)
_SAMPLED: Final = TraceFlags(1)
# Under which a context has its span. Asked without `get_current_span`, which is half of the price of a start.
_SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))


class Recorder(TracerProvider):
    """Tells processors of every span; those of traces that are sampled are the SDK's, and exported.

    Attributes:
        samples: Whether any is. The library asks, and tells no statements where none is.
        tell_leaf: Counts a span of storage that is not exported, which need not be a span then; None where a
            processor wants to be told of it as of any other. The library asks.
    """

    def __init__(
        self, resource: Resource, processors: Sequence[SpanProcessor], sampler: Sampler | None = None
    ) -> None:
        """Nothing is exported until a processor that does is added.

        Args:
            resource: Of the process.
            processors: Told of every span, sampled or not, before those that are added later. One with an
                attribute `passed_over` is not told of those of scopes that are named there.
            sampler: Asked of each trace's first span here, and of no other; None where nothing is exported:
                then what a client decided is passed on to whoever is called.
        """
        super().__init__(sampler=ALWAYS_ON, resource=resource)
        self._own_sampler = sampler
        self.samples = sampler is not None
        self._own = tuple(processors)
        self.tell_leaf = _counting(self._told_of(names.STORAGE_SCOPE))
        for processor in processors:
            self.add_span_processor(processor)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: types.Attributes = None,
    ) -> Tracer:
        """See `opentelemetry.trace.TracerProvider`."""
        sdks = super().get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        scope = InstrumentationScope(
            instrumenting_module_name, instrumenting_library_version or "", schema_url, attributes
        )
        told = self._told_of(instrumenting_module_name)
        return _RecordingTracer(sdks, self._own_sampler, told, self.resource, scope)

    def _told_of(self, scope: str) -> list[SpanProcessor]:
        return [one for one in self._own if scope not in getattr(one, "passed_over", ())]


def _counting(processors: Sequence[SpanProcessor]) -> Callable[[Leaf], None] | None:
    """Who counts spans that are no more than that: everybody who is told of them, or nobody."""
    counting = [one.on_leaf for one in processors if isinstance(one, CountsLeaves)]
    if not counting or len(counting) < len(processors):
        return None
    if len(counting) == 1:
        return counting[0]

    def tell(leaf: Leaf) -> None:
        for one in counting:
            one(leaf)

    return tell


class _RecordingTracer(Tracer):
    def __init__(
        self,
        sdks: Tracer,
        sampler: Sampler | None,
        processors: Sequence[SpanProcessor],
        resource: Resource,
        scope: InstrumentationScope,
    ) -> None:
        self._sdks = sdks
        self._sampler = sampler
        self.resource = resource
        self.scope = scope
        # Most look at a span's end alone.
        self._at_start = [
            one.on_start for one in processors if type(one).on_start is not SpanProcessor.on_start
        ]
        self._at_end = [one.on_end for one in processors]

    def start_span(  # noqa: PLR0917 - as its base has it
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """See `opentelemetry.trace.Tracer`."""
        found = (get_current() if context is None else context).get(_SPAN_KEY)
        above = found if type(found) is LightSpan or isinstance(found, Span) else None
        parent = None if above is None else above.get_span_context()
        if parent is None or not parent[5]:
            parent, trace_id = None, random.getrandbits(128) or 1
        else:
            trace_id = parent[0]
        flags = _NOT_SAMPLED if parent is None else parent[3]
        if self._sampler is not None and (parent is None or parent[2]):  # the first one here
            decision = self._sampler.should_sample(context, trace_id, name, kind, attributes, links).decision
            flags = _SAMPLED if decision is Decision.RECORD_AND_SAMPLE else _NOT_SAMPLED
        if self._sampler is not None and flags & 1:
            return self._sdks.start_span(
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
            )
        # As its constructor makes it, without the checks of ids that were made here.
        own = tuple.__new__(
            SpanContext,
            (trace_id, random.getrandbits(64) or 1, False, flags, DEFAULT_TRACE_STATE, True),
        )
        span = LightSpan.begun(self, name, own, parent, kind, attributes, start_time)
        for tell in self._at_start:
            tell(span, context)
        return span

    @_agnosticcontextmanager
    def start_as_current_span(  # noqa: PLR0913, PLR0917 - as its base has it
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        """See `opentelemetry.trace.Tracer`."""
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        with use_span(span, end_on_exit, record_exception, set_status_on_exception) as current:
            yield current

    def ended(self, span: LightSpan) -> None:
        """Tell of it."""
        for tell in self._at_end:
            tell(span)
