"""Traces, logs and metrics: their names, where they go, and a span per request."""

from agentflow_telemetry.asgi import SpanPerRequest
from agentflow_telemetry.degraded import DegradedGauge
from agentflow_telemetry.logs import configure_logging
from agentflow_telemetry.metrics import Metrics
from agentflow_telemetry.modes import Mode
from agentflow_telemetry.pools import PoolMetrics
from agentflow_telemetry.settings import TelemetrySettings, read_telemetry_settings
from agentflow_telemetry.setup import installed
from agentflow_telemetry.sweeps import SweepMetrics
from agentflow_telemetry.tracing import Tracing

__all__ = [
    "DegradedGauge",
    "Metrics",
    "Mode",
    "PoolMetrics",
    "SpanPerRequest",
    "SweepMetrics",
    "TelemetrySettings",
    "Tracing",
    "configure_logging",
    "installed",
    "read_telemetry_settings",
]
