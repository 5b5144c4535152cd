"""Where spans go: to an OTLP endpoint when the standard variable names one, nowhere otherwise."""

import os
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracer, Tracer

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Tracing:
    """A process's tracer, and the provider behind it.

    Attributes:
        tracer: Costs nothing when tracing is off.
    """

    def __init__(self, service: str, environment: Mapping[str, str] = os.environ) -> None:
        """Export spans of `service` if OTEL_EXPORTER_OTLP_ENDPOINT is set; its other variables hold too."""
        self._provider: TracerProvider | None = None
        self.tracer: Tracer = NoOpTracer()
        if environment.get(ENDPOINT_VARIABLE):
            self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            self.tracer = self._provider.get_tracer("agentflow")

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded."""
        return self._provider is not None

    def close(self) -> None:
        """Send what waits, and stop."""
        if self._provider is not None:
            self._provider.shutdown()
