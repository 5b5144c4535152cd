"""Traces, logs and a gauge: their names, where they go, and a span per request."""

from agentflow_telemetry.asgi import SpanPerRequest
from agentflow_telemetry.degraded import DegradedGauge
from agentflow_telemetry.logs import configure_logging
from agentflow_telemetry.tracing import Tracing

__all__ = ["DegradedGauge", "SpanPerRequest", "Tracing", "configure_logging"]
