"""Spans on their way out, and a count of those that got lost there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

_USUALLY_WAIT: Final = 2048


class CountedExport(BatchSpanProcessor):
    """OpenTelemetry's batches, which forget in silence what is too much or was not taken.

    Attributes:
        refused: Spans that the endpoint did not take.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        """Export from now on."""
        counted = _Counted(exporter)
        super().__init__(counted)
        self._most_waiting = _most_waiting()
        self._counted = counted
        self._given = 0
        self._crowded_out = 0

    @property
    def lost(self) -> int:
        """Spans that were sampled and never reached the endpoint."""
        return self._counted.refused + self._crowded_out

    def on_end(self, span: ReadableSpan) -> None:
        """See there."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._given += 1
            # What was given and neither taken up nor waits is gone. While the queue is full that is exact,
            # but for a batch that is taken up at this moment.
            gone = self._given - self._counted.taken - self._most_waiting
            self._crowded_out = max(self._crowded_out, gone)
        super().on_end(span)


class _Counted(SpanExporter):
    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0
        self.refused = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self.refused += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _most_waiting() -> int:
    """As OpenTelemetry reads it, which takes its own number for one that is none."""
    text = os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE, "")
    return int(text) if text.isdecimal() else _USUALLY_WAIT
