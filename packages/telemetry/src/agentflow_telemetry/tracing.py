"""Where spans go: to an OTLP endpoint when the standard variable names one, and to parts of the process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracer, Tracer

from agentflow_telemetry.hiding import HideThreads
from agentflow_telemetry.recorder import Recorder
from agentflow_telemetry.sampling import RecordEverything

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Tracing:
    """A process's tracer, and the provider behind it.

    Attributes:
        tracer: Of requests; costs nothing when spans are recorded for nobody.
    """

    def __init__(
        self,
        service: str,
        environment: Mapping[str, str] = os.environ,
        *,
        processors: Sequence[SpanProcessor] = (),
    ) -> None:
        """Record spans for an endpoint, for processors, or for neither.

        Args:
            service: Its name in traces.
            environment: Spans are exported if it has OTEL_EXPORTER_OTLP_ENDPOINT; the standard's other
                variables hold too.
            processors: Of this process. They are told everything, whatever is sampled, and thread ids as they
                are; an endpoint gets only what tells threads apart.
        """
        self.tracer: Tracer = NoOpTracer()
        self.exports = bool(environment.get(ENDPOINT_VARIABLE))
        self._provider: TracerProvider | None = None
        if not (self.exports or processors):
            return
        sampler = RecordEverything() if self.exports else None
        provider = Recorder(Resource.create({"service.name": service}), processors, sampler)
        if self.exports:
            provider.add_span_processor(HideThreads())
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer = provider.get_tracer("agentflow.http")
        self._provider = provider

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded for anybody."""
        return self._provider is not None

    def install(self) -> None:
        """Make it the process's: what libraries tell goes there. The first one installed stays."""
        if self._provider is not None and not isinstance(trace.get_tracer_provider(), TracerProvider):
            trace.set_tracer_provider(self._provider)

    def close(self) -> None:
        """Send what waits, and stop."""
        if self._provider is not None:
            self._provider.shutdown()
