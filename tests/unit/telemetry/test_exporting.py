"""Spans that were to leave and did not are counted."""

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from agentflow_telemetry.exporting import CountedExport


class Endpoint(SpanExporter):
    """Takes what it is given, or not, and when it is let."""

    def __init__(self, answer: SpanExportResult) -> None:
        self.answer = answer
        self.open = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.open.wait()
        return self.answer


def ended(export: CountedExport, spans: int) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export)
    tracer = provider.get_tracer("test")
    for number in range(spans):
        tracer.start_span(str(number)).end()
    return provider


@pytest.mark.parametrize(("answer", "lost"), [(SpanExportResult.SUCCESS, 0), (SpanExportResult.FAILURE, 9)])
def test_refused(answer: SpanExportResult, lost: int) -> None:
    """What the endpoint did not take is lost."""
    endpoint = Endpoint(answer)
    endpoint.open.set()
    export = CountedExport(endpoint)
    ended(export, 9).shutdown()
    assert export.lost == lost


def test_crowded_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the endpoint takes long so many wait, and what is more is lost: the first are at the endpoint."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    endpoint = Endpoint(SpanExportResult.SUCCESS)
    export = CountedExport(endpoint)
    provider = ended(export, 40)
    assert export.lost >= 40 - 10 - 5
    endpoint.open.set()
    provider.shutdown()
    lost = 40 - export._counted.taken
    assert lost <= export.lost <= lost + 5, "a batch that is just being taken up may count as lost"
