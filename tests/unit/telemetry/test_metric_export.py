"""Metrics over OTLP, as a real receiver decodes them: the same numbers that Prometheus reads."""

import threading
from collections.abc import Iterable
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from prometheus_client.core import Metric
from prometheus_client.registry import Collector as Registered

from agentflow_telemetry import Metrics, Mode, TelemetrySettings, installed
from agentflow_telemetry.metric_export import MetricExport, exports_metrics
from tests.support.otlp_collector import Collector, otlp_collector
from tests.support.spans import OPENMETRICS, counting, families, lines, request, value

CUMULATIVE = 2


@pytest.mark.parametrize(
    ("environment", "exports"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x/v1/metrics"}, True),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, True),
        ({"OTEL_METRICS_EXPORTER": "console, otlp"}, True),
        ({"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, False),
    ],
)
def test_what_the_environment_asks_for(environment: dict[str, str], *, exports: bool) -> None:
    """An endpoint of its own, or the exporter by name."""
    assert exports_metrics(environment) is exports


def labels_of(point: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}


class Broken(Registered):
    """Fails the first time."""

    def __init__(self) -> None:
        self.asked = 0
        self.was_asked_again = threading.Event()

    def collect(self) -> Iterable[Metric]:
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("secret")
        self.was_asked_again.set()
        return []


def test_one_failure_is_not_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and told without its words, and the next time comes."""
    told = Broken()
    with otlp_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        export = MetricExport(told, "s", {"OTEL_METRIC_EXPORT_INTERVAL": "1"})
        assert told.was_asked_again.wait(30)
        export.close()
    assert export.refused == 1
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


async def test_the_same_numbers_as_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, and histograms with their buckets and examples, sent at the end at the latest."""
    metrics = Metrics("s", settings=TelemetrySettings(mode=Mode.TRACES))
    metrics.drops("spans", lambda: 7)
    with counting(metrics, ALWAYS_ON) as tracer, otlp_collector() as collector:
        for tenant in ("acme", "acme", "umbrella"):
            request(tracer, tenant)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        MetricExport(metrics, "s").close()
        page = families((await metrics.page(OPENMETRICS)).text)
        sent = collector.metrics()
    calls = sent["traces_span_metrics_calls"].sum
    assert (calls.is_monotonic, calls.aggregation_temporality) == (True, CUMULATIVE)
    of_acme = [one for one in calls.data_points if labels_of(one).get("http_route") == "/v1/threads"]
    counted = {labels_of(one)["agentflow_tenant_id"]: one.as_int for one in of_acme}
    assert counted == {"acme": 2, "umbrella": 1}
    times = sent["traces_span_metrics_duration_seconds"].histogram.data_points
    name = "traces_span_metrics_duration_seconds"
    for point in times:
        labels = labels_of(point)
        assert point.count == sum(point.bucket_counts) == value(page, f"{name}_count", **labels)
        assert point.sum == pytest.approx(value(page, f"{name}_sum", **labels))
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert (point.HasField("min"), point.HasField("max")) == (False, False)
        assert {len(one.trace_id) for one in point.exemplars} == {16}
    assert len(times) == len(lines(page, f"{name}_count")) > 1
    lost = sent["agentflow_telemetry_dropped"].sum.data_points
    assert {labels_of(one)["what"]: one.as_int for one in lost}["spans"] == 7


async def test_at_intervals_and_what_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, from a thread of its own; an endpoint that is gone is counted and harms nobody."""
    metrics = Metrics("s")
    with otlp_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        export = MetricExport(metrics, "s", {"OTEL_METRIC_EXPORT_INTERVAL": "20"})
        arrived(collector, 3)
    assert export.refused == 0
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1")
    export.close()
    assert export.refused >= 1


def test_a_process_exports_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up by the standard's variables, with its name and an id of its own; nothing without them."""
    with otlp_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector.endpoint}/v1/metrics")
        asked = {"OTEL_METRICS_EXPORTER": "otlp", "AGENTFLOW_TELEMETRY": "metrics"}
        for environment in (asked, {**asked, "OTEL_METRICS_EXPORTER": "none"}):
            installed("agentflow-test", Metrics("agentflow-test"), [], environment).close()
        assert len(collector.raw_metrics) == 1
        assert b"agentflow-test" in collector.raw_metrics[0]
        assert b"service.instance.id" in collector.raw_metrics[0]
        assert collector.raw == []


def arrived(collector: Collector, count: int) -> None:
    with collector.arrived:
        assert collector.arrived.wait_for(lambda: len(collector.raw_metrics) >= count, 60)
