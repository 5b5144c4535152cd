"""What is counted of spans, under which labels, and how many series there may be."""

import threading

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode

from agentflow_telemetry import Metrics, Mode, TelemetrySettings
from agentflow_telemetry.prices import Price
from tests.support.spans import OPENMETRICS, counting, families, lines, request, value

CALLS = "traces_span_metrics_calls_total"
SECONDS = "traces_span_metrics_duration_seconds"
TRACES = TelemetrySettings(mode=Mode.TRACES)


async def test_a_span_is_counted_and_timed() -> None:
    """Under the collector's names, with the attributes that may be labels and no others."""
    metrics = Metrics("some-service")
    with counting(metrics) as tracer:
        request(tracer, "acme", status=404)
    found = families((await metrics.page()).text)
    [call] = [line for line in lines(found, CALLS) if line.labels["span_kind"] == "SPAN_KIND_SERVER"]
    assert call.value == 1
    assert call.labels == {
        "service_name": "some-service",
        "span_name": "GET /v1/threads",
        "span_kind": "SPAN_KIND_SERVER",
        "status_code": "STATUS_CODE_UNSET",
        "http_route": "/v1/threads",
        "http_response_status_code": "404",
        "agentflow_tenant_id": "acme",
        "agentflow_placement": "pool",
        "process": "0",
    }
    assert value(found, CALLS, span_name="checkpoint.put", span_kind="SPAN_KIND_INTERNAL") == 1
    assert value(found, f"{SECONDS}_count", span_name="checkpoint.put", agentflow_tenant_id="acme") == 1
    told = {name for family in found.values() for line in family.samples for name in line.labels}
    assert not {name for name in told if "thread" in name or "user" in name or "conversation" in name}


async def test_times_stand_in_their_buckets() -> None:
    """A bucket counts what took at most so long; 50 ms, which a checkpoint may take, is the end of one."""
    metrics = Metrics("s")
    with counting(metrics) as tracer:
        for took_ms in (1, 50, 51, 60_000):
            span = tracer.start_span("checkpoint.put", start_time=10**18)
            span.end(10**18 + took_ms * 10**6)
    found = families((await metrics.page()).text)
    counts = {line.labels["le"]: line.value for line in lines(found, f"{SECONDS}_bucket")}
    assert (counts["0.002"], counts["0.025"], counts["0.05"], counts["0.1"]) == (1, 1, 2, 3)
    assert (counts["30.0"], counts["+Inf"]) == (3, 4)
    assert value(found, f"{SECONDS}_sum") == pytest.approx(60.102)


async def test_counts_are_exact_whatever_is_exported() -> None:
    """Also when nothing is: sampling decides on traces, not on counts."""
    metrics = Metrics("s", settings=TRACES)
    with counting(metrics, ALWAYS_OFF) as tracer:
        for _ in range(100):
            request(tracer, "acme")
    page = await metrics.page(OPENMETRICS)
    assert value(families(page.text), CALLS, agentflow_tenant_id="acme") == 200
    assert "trace_id" not in page.text, "nobody could find these traces"


async def test_sampled_traces_are_examples() -> None:
    """In OpenMetrics, where the trace is exported; the older form has no examples."""
    metrics = Metrics("s", settings=TRACES)
    with counting(metrics, ALWAYS_ON) as tracer:
        span = tracer.start_span("checkpoint.put")
        span.end()
    found = families((await metrics.page(OPENMETRICS)).text)
    context = span.get_span_context()
    [example] = [line.exemplar for line in lines(found, f"{SECONDS}_bucket") if line.exemplar]
    assert example.labels == {
        "trace_id": format(context.trace_id, "032x"),
        "span_id": format(context.span_id, "016x"),
    }
    assert "trace_id" not in (await metrics.page("text/plain")).text
    only_counted = Metrics("s")
    with counting(only_counted, ALWAYS_ON) as tracer:
        tracer.start_span("checkpoint.put").end()
    assert "trace_id" not in (await only_counted.page(OPENMETRICS)).text


async def test_errors_are_told_apart() -> None:
    """By the span's status."""
    metrics = Metrics("s")
    with counting(metrics) as tracer:
        for status in (StatusCode.ERROR, StatusCode.OK, StatusCode.UNSET):
            span = tracer.start_span("node MAIN")
            span.set_status(Status(status))
            span.end()
    found = families((await metrics.page()).text)
    for code in ("ERROR", "OK", "UNSET"):
        assert value(found, CALLS, status_code=f"STATUS_CODE_{code}") == 1


async def test_a_thousand_tenants() -> None:
    """The busiest have names, all together are counted right, and the page stays below a megabyte."""
    metrics = Metrics("agentflow-api")
    ids = [f"0198f3c2-7a5b-7c3d-8e4f-{number:012d}" for number in range(1000)]
    pages = []
    with counting(metrics) as tracer:
        busy = ids[900:950]
        for _ in range(2):
            for tenant_id in ids + busy * 9:
                for route in ("/v1/graph/invoke", "/v1/threads/{thread_id}/messages", "/v1/threads"):
                    for status in (200, 429):
                        request(tracer, tenant_id, route, status)
            pages.append((await metrics.page()).text)
    assert all(len(page.encode()) <= 1_000_000 for page in pages)
    before, found = map(families, pages)
    named = {line.labels["agentflow_tenant_id"] for line in lines(found, CALLS)}
    assert named == {*busy, "__other__"}
    for name in ("GET /v1/threads", "checkpoint.put"):
        spans = 2 * (1000 + 50 * 9) * (1 if name.startswith("GET") else 3)
        for line in (f"{SECONDS}_count", CALLS):
            assert value(found, line, span_name=name) - value(before, line, span_name=name) == spans


async def test_values_that_others_choose_are_bounded() -> None:
    """Tools may have any names: those that are too many are one, nothing is lost, and it is told."""
    metrics = Metrics("s")
    with counting(metrics) as tracer:
        for number in range(1000):
            name = f"tool-{number}-" + "x" * 1000
            tracer.start_span(f"execute_tool {name}", attributes={"gen_ai.tool.name": name}).end()
    page = await metrics.page()
    found = families(page.text)
    assert value(found, CALLS) == 1000
    assert len({line.labels["gen_ai_tool_name"] for line in lines(found, CALLS)}) <= 101
    assert len(page.text) < 1_000_000
    assert value(found, "agentflow_telemetry_dropped_total", what="labels") == 900


async def test_strangers_crowd_nobody_out() -> None:
    """Who is let in nowhere may try each route and method: what tenants do is told as if nobody had."""
    metrics = Metrics("s")
    routes = [f"/v1/route-{number}" for number in range(150)]
    with counting(metrics) as tracer:
        for route in routes:
            for method in ("GET", "OPTIONS"):
                for status in (200, 400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503):
                    said: dict[str, str | int] = {"http.route": route, "http.response.status_code": status}
                    name = f"{method} {route}"
                    tracer.start_span(name, kind=SpanKind.SERVER, attributes=said).end()
        for number in range(10):
            for route in routes[:20]:
                request(tracer, f"tenant-{number}", route)
            tracer.start_span("invoke_agent x", attributes={"agentflow.tenant.id": f"tenant-{number}"}).end()
    found = families((await metrics.page()).text)
    for number in range(10):
        tenant = f"tenant-{number}"
        for name in (*(f"GET {route}" for route in routes[:20]), "invoke_agent x"):
            assert value(found, CALLS, agentflow_tenant_id=tenant, span_name=name) == 1
            assert value(found, f"{SECONDS}_count", agentflow_tenant_id=tenant, span_name=name) == 1
    assert value(found, CALLS) == value(found, f"{SECONDS}_count") == 150 * 2 * 12 + 10 * 20 * 2 + 10
    strangers = [line.labels for line in lines(found, CALLS) if "agentflow_tenant_id" not in line.labels]
    assert len(strangers) <= 301
    assert strangers[-1]["span_name"] == "__other__"


async def test_tokens_and_what_they_cost() -> None:
    """By tenant and model; a model without a price costs nothing that is told."""
    prices = {"large": Price(2.5, 10.0)}
    metrics = Metrics("s", settings=TelemetrySettings(prices=prices))
    said: dict[str, str | int] = {
        "agentflow.tenant.id": "acme",
        "gen_ai.usage.input_tokens": 1_000_000,
        "gen_ai.usage.output_tokens": 100_000,
    }
    with counting(metrics) as tracer:
        for model in ("large", "large", "small"):
            tracer.start_span(f"chat {model}", attributes={**said, "gen_ai.request.model": model}).end()
        tracer.start_span("node MAIN", attributes={**said, "gen_ai.request.model": "own"}).end()
        tracer.start_span("node MAIN", attributes={"agentflow.step": 1}).end()
        tracer.start_span("invoke_agent a", attributes={"gen_ai.usage.input_tokens": 3_000_000}).end()
    found = families((await metrics.page()).text)
    of = {"agentflow_tenant_id": "acme", "gen_ai_request_model": "large"}
    assert value(found, "agentflow_tokens_total", gen_ai_token_type="input", **of) == 2_000_000
    assert value(found, "agentflow_tokens_total", gen_ai_token_type="output", **of) == 200_000
    assert value(found, "agentflow_cost_usd_total", **of) == pytest.approx(2 * 2.5 + 0.2 * 10.0)
    own = {"agentflow_tenant_id": "acme", "gen_ai_request_model": "own"}
    assert value(found, "agentflow_tokens_total", gen_ai_token_type="input", **own) == 1_000_000
    assert len(lines(found, "agentflow_tokens_total")) == 6
    assert len(lines(found, "agentflow_cost_usd_total")) == 1


async def test_spans_of_several_threads() -> None:
    """None is lost, while others read."""
    metrics = Metrics("s")
    with counting(metrics) as tracer:

        def work() -> None:
            for _ in range(500):
                request(tracer, "acme")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            families((await metrics.page()).text)
        for thread in threads:
            thread.join()
    assert value(families((await metrics.page()).text), CALLS) == 4000
