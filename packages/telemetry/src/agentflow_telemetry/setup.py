"""A process's telemetry, set up as its environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import SpanProcessor

from agentflow_telemetry.metric_export import MetricExport, exports_metrics
from agentflow_telemetry.metrics import Metrics
from agentflow_telemetry.tracing import Tracing


def installed(
    service: str,
    metrics: Metrics | None,
    processors: Sequence[SpanProcessor],
    environment: Mapping[str, str] = os.environ,
) -> Tracing:
    """Tracing that is the process's own, and counts what it loses. Closing it sends what waits.

    Args:
        service: Its name in traces and metrics.
        metrics: Counts every span, and is exported where the environment says so; None for no metrics.
        processors: Told of every span, as `Tracing` has it.
        environment: As `Tracing` has it.
    """
    spans = None if metrics is None else metrics.spans
    tracing = Tracing(service, environment, processors=processors, metrics=spans)
    tracing.install()
    if metrics is not None:
        metrics.drops("spans", lambda: tracing.lost)
        if exports_metrics(environment):
            export = MetricExport(metrics, service, environment)
            metrics.drops("metrics", lambda: export.refused)
            tracing.before_close(export.close)
    return tracing
