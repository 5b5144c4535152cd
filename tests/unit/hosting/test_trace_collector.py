"""Spans of runs, kept together until they end; bounded, and of our own spans only."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentflow.utils import span_names as names
from agentflow_hosting.trace_collector import TraceCollector
from agentflow_hosting.trace_data import MOST_BYTES, MOST_SPANS
from agentflow_telemetry import Tracing

TENANT = uuid.uuid4()


class Told:
    """A collector and somebody who tells it of runs."""

    def __init__(self, **limits: int) -> None:
        self.collector = TraceCollector(**limits)
        self.provider = TracerProvider()
        self.provider.add_span_processor(self.collector)
        self.tracer: Tracer = self.provider.get_tracer(names.SCOPE)
        self.foreign: Tracer = self.provider.get_tracer("httpx")

    def begin(self, run_id: str = "r", parent: Any = None) -> Span:
        said = {
            names.OPERATION: names.RUN_SPAN,
            names.TENANT: str(TENANT),
            names.CONVERSATION: "t",
            names.RUN: run_id,
        }
        return self.tracer.start_span(names.RUN_SPAN, context=parent or context.Context(), attributes=said)

    def part(
        self,
        parent: Span,
        name: str = "node A",
        said: Mapping[str, str] | None = None,
        tracer: Tracer | None = None,
    ) -> Span:
        context = set_span_in_context(parent)
        return (tracer or self.tracer).start_span(name, context=context, attributes=said)

    def end(self, run: Span, **said: Any) -> None:
        run.set_attributes({names.THREAD_NO: 7, names.STATUS: "completed", **said})
        run.end()

    def taken(self) -> list[dict[str, Any]]:
        return [json.loads(run.as_json()) for run in self.collector.take(1000)]

    def is_empty(self) -> bool:
        return not (self.collector._open or self.collector._places)


def test_a_run_and_its_parts() -> None:
    """In the order they began, each with its parent; spans of others are passed over."""
    told = Told()
    run = told.begin()
    node = told.part(run)
    other = told.part(node, "GET /secret", {"url": "secret"}, told.foreign)
    below = told.part(other, "chat m", {names.OPERATION: "chat"})
    for span in (below, other, node):
        span.end()
    assert told.collector.is_at_work(TENANT, "t", "r")
    told.end(run, **{names.STEPS: 1, names.TOKENS_IN: 3})
    [row] = told.taken()
    assert (row["tenant_id"], row["thread_id"], row["run_id"]) == (str(TENANT), "t", "r")
    assert (row["thread_no"], row["steps"], row["tokens_in"], row["llm_calls"]) == (7, 1, 3, 1)
    first, second, third = row["spans"]
    assert [first["name"], second["name"], third["name"]] == ["invoke_agent", "node A", "chat m"]
    assert first["parent_span_id"] is None
    assert second["parent_span_id"] == first["span_id"]
    assert third["parent_span_id"] == second["span_id"]
    assert "secret" not in json.dumps(row)
    assert names.TENANT not in first["attributes"]
    assert told.is_empty()
    assert not told.collector.is_at_work(TENANT, "t", "r")


@pytest.mark.parametrize("scope", [names.STORAGE_SCOPE, names.REQUESTS_SCOPE])
def test_what_storage_and_requests_do_is_passed_over(scope: str) -> None:
    """The versions that a run made are its events; a row of what each cost would be several times as long."""
    told = Told()
    run = told.begin()
    told.part(run, names.PUT_SPAN, None, told.provider.get_tracer(scope)).end()
    told.end(run)
    [row] = told.taken()
    assert len(row["spans"]) == 1
    assert told.is_empty()


def test_a_service_tells_of_requests_in_their_scope() -> None:
    """By the name that the library knows it by."""
    exports = {"AGENTFLOW_TELEMETRY": "traces", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    tracing = Tracing("api", exports)
    scope: Any = getattr(tracing.tracer, "scope", None)
    tracing.close()
    assert scope.name == names.REQUESTS_SCOPE


def test_runs_of_one_trace_are_told_apart() -> None:
    """Clients choose trace ids and parents: neither brings the spans of two runs together."""
    told = Told()
    carrier = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    parent = TraceContextTextMapPropagator().extract(carrier)
    runs = [told.begin(run_id, parent) for run_id in ("one", "two")]
    for run in runs:
        told.part(run).end()
    for run in runs:
        told.end(run)
    rows = told.taken()
    assert [row["run_id"] for row in rows] == ["one", "two"]
    assert [len(row["spans"]) for row in rows] == [2, 2]
    assert {row["spans"][0]["parent_span_id"] for row in rows} == {"b7ad6b7169203331"}


def test_a_run_inside_a_run_is_its_own() -> None:
    """A graph that a node of another graph runs."""
    told = Told()
    outer = told.begin("outer")
    node = told.part(outer)
    inner = told.begin("inner", set_span_in_context(node))
    told.part(inner).end()
    told.end(inner)
    node.end()
    told.end(outer)
    assert [(row["run_id"], len(row["spans"])) for row in told.taken()] == [("inner", 2), ("outer", 2)]


def test_a_run_is_bounded_in_spans_and_bytes() -> None:
    """What does not fit is counted; calls are counted all the same."""
    told = Told()
    run = told.begin()
    for _ in range(MOST_SPANS + 50):
        told.part(run, said={names.OPERATION: names.TOOL_SPAN}).end()
    told.end(run)
    [row] = told.taken()
    assert len(row["spans"]) + row["spans_lost"] == MOST_SPANS + 51
    assert row["tool_calls"] == MOST_SPANS + 50
    run = told.begin()
    for _ in range(100):
        told.part(run, "x" * 5000, {f"a{n}": "y" * 5000 for n in range(10)}).end()
    told.end(run)
    [row] = told.taken()
    assert 0 < len(json.dumps(row["spans"])) <= MOST_BYTES * 1.1
    assert row["spans_lost"] > 0


def test_what_waits_is_bounded() -> None:
    """The oldest are given up, and counted; those put back are the oldest."""
    told = Told(most_waiting=3)
    for number in range(5):
        told.end(told.begin(str(number)))
    assert told.collector.dropped == 2
    taken = told.collector.take(2)
    told.collector.put_back(taken)
    assert [row["run_id"] for row in told.taken()] == ["2", "3", "4"]


def test_what_left_nothing_is_not_kept() -> None:
    """A run that was refused before its input was durable; spans below no run; those that never end."""
    told = Told()
    refused = told.begin()
    refused.end()
    told.tracer.start_span("node A").end()
    run = told.begin()
    never = told.part(run, "never", None, told.foreign)
    told.part(never)
    told.end(run)
    assert [len(row["spans"]) for row in told.taken()] == [1]
    assert told.is_empty()


def test_values_can_be_stored() -> None:
    """Whatever a model makes up as the id of a call."""
    told = Told()
    run = told.begin()
    part = told.part(run, said={"a": "\0x", "b": "\ud800" + "y" * 1000})
    part.set_attributes({"c": ["z"] * 100, "d": 1.5})
    part.end()
    told.end(run)
    [row] = told.taken()
    text = json.dumps(row)
    assert "\\u0000" not in text
    assert "\\ud800" not in text
    assert len(text) < 2500


@pytest.mark.parametrize("sampled", [True, False])
def test_sampling_is_about_export(sampled: bool) -> None:
    """A client's decision not to sample keeps nothing from being stored."""
    collector = TraceCollector()
    tracing = Tracing("test", {}, processors=[collector])
    assert tracing._provider is not None
    tracer = tracing._provider.get_tracer(names.SCOPE)
    flags = "01" if sampled else "00"
    carrier = {"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"}
    said: dict[str, str | int] = {names.TENANT: str(TENANT), names.CONVERSATION: "t", names.RUN: "r"}
    said[names.OPERATION] = names.RUN_SPAN
    said[names.THREAD_NO] = 1
    parent = TraceContextTextMapPropagator().extract(carrier)
    run = tracer.start_span(names.RUN_SPAN, context=parent, attributes=said)
    run.end()
    assert run.get_span_context().trace_flags.sampled == sampled
    assert len(collector.take(10)) == 1
    tracing.close()
