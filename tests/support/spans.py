"""Spans as a process makes them, counted, for tests."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import SpanKind, Tracer
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as classic_families
from prometheus_client.samples import Sample

from agentflow_telemetry import Metrics
from agentflow_telemetry.sampling import RecordEverything

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SERVER = SpanKind.SERVER


@contextmanager
def counting(metrics: Metrics, exported: Sampler | None = None) -> Iterator[Tracer]:
    """A tracer whose spans are counted."""
    provider = TracerProvider(sampler=RecordEverything(exported), shutdown_on_exit=False)
    provider.add_span_processor(metrics.spans)
    try:
        yield provider.get_tracer("test")
    finally:
        provider.shutdown()


def request(tracer: Tracer, tenant: str, route: str = "/v1/threads", status: int = 200) -> None:
    """The span of a request, as the API makes it, with one below it."""
    said: dict[str, str | int] = {
        "http.route": route,
        "http.response.status_code": status,
        "agentflow.tenant.id": tenant,
        "agentflow.placement": "pool",
    }
    with tracer.start_as_current_span(f"GET {route}", kind=SERVER, attributes=said):
        put: dict[str, str | int] = {
            "agentflow.tenant.id": tenant,
            "agentflow.checkpoint.bytes": 100,
            "gen_ai.conversation.id": "t",
        }
        tracer.start_span("checkpoint.put", attributes=put).end()


def families(text: str) -> dict[str, Metric]:
    """The families of a page, as Prometheus reads it: by name, each once."""
    parse = openmetrics_families if text.endswith("# EOF\n") else classic_families
    found: dict[str, Metric] = {}
    for family in parse(text):
        assert family.name not in found, f"{family.name} stands on the page twice"
        found[family.name] = family
    return found


def value(found: Mapping[str, Metric], name: str, **labels: str) -> float:
    """The sum of the lines of a name that have these labels."""
    return sum(sample.value for sample in lines(found, name) if labels.items() <= sample.labels.items())


def lines(found: Mapping[str, Metric], name: str) -> list[Sample]:
    """The lines of a name, of whatever family."""
    return [sample for family in found.values() for sample in family.samples if sample.name == name]
