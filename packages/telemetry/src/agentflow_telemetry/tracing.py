"""Where spans go: to an OTLP endpoint when the standard variable names one, and to parts of the process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import NoOpTracer, Tracer

from agentflow_telemetry import names
from agentflow_telemetry.exporting import CountedExport
from agentflow_telemetry.hiding import HideThreads
from agentflow_telemetry.modes import Mode, mode_of
from agentflow_telemetry.recorder import Recorder
from agentflow_telemetry.sampling import RecordEverything
from agentflow_telemetry.span_metrics import SpanMetrics
from agentflow_telemetry.standard import resource_of


class Tracing:
    """A process's tracer, and the provider behind it.

    Attributes:
        tracer: Of requests; costs nothing when nobody is told of them.
        exports: Whether spans leave the process.
        traces_requests: Whether requests have spans.
    """

    def __init__(
        self,
        service: str,
        environment: Mapping[str, str] = os.environ,
        *,
        processors: Sequence[SpanProcessor] = (),
        metrics: SpanMetrics | None = None,
    ) -> None:
        """Record spans for an endpoint, for processors, for metrics, or for nobody.

        Args:
            service: Its name in traces, where the environment gives none.
            environment: Has AGENTFLOW_TELEMETRY or the standard's variables: they say whether spans are
                exported.
            processors: Of this process. They are told everything, whatever is sampled, and thread ids as they
                are; an endpoint gets only what tells threads apart.
            metrics: Counts every span, also those of requests.
        """
        self.tracer: Tracer = NoOpTracer()
        self.exports = mode_of(environment) is Mode.TRACES
        self.traces_requests = self.exports or metrics is not None
        self._export: CountedExport | None = None
        self._provider: TracerProvider | None = None
        self._closers: list[Callable[[], None]] = []
        told = [*processors, *([] if metrics is None else [metrics])]
        if not (self.exports or told):
            return
        # Without an exporter no span leaves the process.
        sampler = RecordEverything() if self.exports else None
        provider = Recorder(resource_of(service), told, sampler)
        if self.exports:
            provider.add_span_processor(HideThreads())
            self._export = CountedExport(OTLPSpanExporter())
            provider.add_span_processor(self._export)
        if self.traces_requests:
            self.tracer = provider.get_tracer(names.REQUESTS_SCOPE)
        self._provider = provider

    @property
    def lost(self) -> int:
        """Spans that were to be exported and were not."""
        return 0 if self._export is None else self._export.lost

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded for anybody."""
        return self._provider is not None

    def install(self) -> None:
        """Make it the process's: what libraries tell goes there. The first one installed stays."""
        if self._provider is not None and not isinstance(trace.get_tracer_provider(), TracerProvider):
            trace.set_tracer_provider(self._provider)

    def before_close(self, work: Callable[[], None]) -> None:
        """Have something done when the process ends."""
        self._closers.append(work)

    def close(self) -> None:
        """Send what waits, and stop."""
        while self._closers:
            self._closers.pop()()
        if self._provider is not None:
            self._provider.shutdown()
