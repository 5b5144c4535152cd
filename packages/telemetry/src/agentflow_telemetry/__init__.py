"""Traces, logs and metrics: their names, where they go, and a span per request."""

from agentflow_telemetry.asgi import SpanPerRequest
from agentflow_telemetry.degraded import DegradedGauge
from agentflow_telemetry.logs import configure_logging
from agentflow_telemetry.sweeps import SweepMetrics
from agentflow_telemetry.tracing import Tracing

__all__ = ["DegradedGauge", "SpanPerRequest", "SweepMetrics", "Tracing", "configure_logging"]
