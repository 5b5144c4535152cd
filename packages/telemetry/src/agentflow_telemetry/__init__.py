"""Traces and logs: their names, where they go, and a span per request."""

from agentflow_telemetry.asgi import SpanPerRequest
from agentflow_telemetry.logs import configure_logging
from agentflow_telemetry.tracing import Tracing

__all__ = ["SpanPerRequest", "Tracing", "configure_logging"]
