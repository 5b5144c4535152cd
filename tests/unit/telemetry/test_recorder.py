"""Spans that stay in the process and spans that leave it, told to the same processors, in the same words."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentflow_telemetry.light_spans import LightSpan
from agentflow_telemetry.recorder import Recorder

RESOURCE = Resource({"service.name": "test"})
REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"


class Told(SpanProcessor):
    """What a processor of the process hears."""

    def __init__(self) -> None:
        self.begun: list[Span] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.begun.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


@pytest.fixture
def told() -> Told:
    return Told()


def recorder(told: Told, sampler: Sampler | None = None) -> tuple[Recorder, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = Recorder(RESOURCE, [told], sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


@pytest.fixture(params=[None, ALWAYS_OFF, ALWAYS_ON], ids=["nowhere", "unsampled", "sampled"])
def made(told: Told, request: pytest.FixtureRequest) -> Iterator[Recorder]:
    provider, _ = recorder(told, request.param)
    yield provider
    provider.shutdown()


def test_both_kinds_say_the_same(made: Recorder, told: Told) -> None:
    """Name, kind, attributes, times, events, status, scope, resource and parent."""
    tracer = made.get_tracer("mine", "1")
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER, attributes={"a": 1}) as outer:
        outer.set_attribute("b", "x")
        outer.set_attributes({"c": True})
        outer.add_event("seen", {"n": 1})
        outer.update_name("renamed")
        inner = tracer.start_span("inner")
        inner.set_status(Status(StatusCode.ERROR, "secret"))
        inner.end()
        inner.end()
    assert told.begun == [outer, inner]
    first, second = told.ended
    assert (second.name, dict(second.attributes or {})) == ("renamed", {"a": 1, "b": "x", "c": True})
    assert (second.kind, second.resource, second.parent) == (SpanKind.SERVER, RESOURCE, None)
    assert second.instrumentation_scope is not None
    assert (second.instrumentation_scope.name, second.instrumentation_scope.version) == ("mine", "1")
    assert [(event.name, dict(event.attributes or {})) for event in second.events] == [("seen", {"n": 1})]
    assert second.start_time is not None
    assert second.end_time is not None
    assert first.start_time is not None
    assert second.start_time <= first.start_time <= second.end_time
    assert first.parent == second.context
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.is_unset
    assert not inner.is_recording()


def test_what_an_exception_says_is_not_kept(told: Told) -> None:
    """Its kind is. That is so with a span's own block, and with one that somebody else made."""
    provider, _ = recorder(told)
    tracer = provider.get_tracer("mine")
    for block in (tracer.start_as_current_span("x"), tracer.start_span("x")):
        with pytest.raises(RuntimeError), block:
            raise RuntimeError("secret")
    for span in told.ended:
        assert span.status.status_code is StatusCode.ERROR
        assert "RuntimeError" in span.to_json()
        assert "secret" not in span.to_json()
    provider.shutdown()


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ALWAYS_ON, None])
def test_a_trace_is_exported_as_a_whole_or_not_at_all(told: Told, sampler: Sampler | None) -> None:
    """The sampler is asked of its first span here; processors of the process hear of all of them anyhow."""
    provider, exporter = recorder(told, sampler)
    tracer = provider.get_tracer("mine")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
        pass
    assert len(told.ended) == 2
    assert len(exporter.get_finished_spans()) == (2 if sampler is ALWAYS_ON else 0)
    assert [isinstance(span, LightSpan) for span in told.ended] == [sampler is not ALWAYS_ON] * 2
    assert len({span.context.trace_id for span in told.ended}) == 1
    provider.shutdown()


@pytest.mark.parametrize("flags", ["00", "01"])
def test_what_a_client_decided_is_passed_on(told: Told, flags: str) -> None:
    """Where nothing is exported, spans stay below the client's, and whoever is called hears its decision."""
    provider, _ = recorder(told)
    context = TraceContextTextMapPropagator().extract({"traceparent": REMOTE.format(flags=flags)})
    span = provider.get_tracer("mine").start_span("x", context=context)
    inner = provider.get_tracer("mine").start_span("y", context=set_span_in_context(span))
    for one in (span, inner):
        assert isinstance(one, LightSpan)
        assert format(one.get_span_context().trace_id, "032x") == REMOTE.split("-")[1]
        assert one.get_span_context().trace_flags == int(flags)
    provider.shutdown()


def test_a_span_that_ended_changes_no_more(told: Told) -> None:
    """Whatever comes too late; and what is set is the last word, but for OK."""
    provider, _ = recorder(told)
    span = provider.get_tracer("mine").start_span("x")
    span.set_status(StatusCode.OK)
    span.set_status(StatusCode.ERROR)
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.end()
    span.set_attribute("a", 1)
    span.set_attributes({"a": 1})
    span.update_name("y")
    span.add_event("late")
    span.set_status(StatusCode.ERROR)
    [ended] = told.ended
    assert (ended.name, dict(ended.attributes or {}), list(ended.events)) == ("x", {}, [])
    assert ended.status.status_code is StatusCode.OK
    assert repr(ended) == "LightSpan('x')"
    provider.shutdown()
