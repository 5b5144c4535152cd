"""Metrics on their way to an OTLP endpoint, for who has no Prometheus that scrapes."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_METRIC_EXPORT_INTERVAL,
)
from opentelemetry.sdk.metrics.export import MetricExportResult
from prometheus_client.registry import Collector

from agentflow_telemetry.metric_data import metrics_data
from agentflow_telemetry.standard import resource_of

logger = logging.getLogger(__name__)

EXPORTER_VARIABLE: Final = "OTEL_METRICS_EXPORTER"
_OTLP: Final = "otlp"
_USUALLY_MS: Final = 60_000


def exports_metrics(environment: Mapping[str, str]) -> bool:
    """Whether the standard's variables ask for it: by an endpoint for metrics alone, or by their exporter.

    An endpoint for everything is not enough: where only traces are taken, each try would fail.
    """
    chosen = environment.get(EXPORTER_VARIABLE, "").lower()
    if chosen:
        return _OTLP in (one.strip() for one in chosen.split(","))
    return bool(environment.get(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT))


class MetricExport:
    """Sends everything that a process counts, at intervals and once at its end.

    Attributes:
        refused: How often the endpoint did not take it. The next time has it all: counts only grow.
    """

    def __init__(self, told: Collector, service: str, environment: Mapping[str, str] = os.environ) -> None:
        """Export from now on, from a thread of its own; where to and how often the environment says.

        Args:
            told: What is sent.
            service: The process's name.
            environment: Has OTEL_METRIC_EXPORT_INTERVAL, in milliseconds; 60000 if not set.
        """
        self.refused = 0
        self._told = told
        self._resource = resource_of(service, {"service.instance.id": str(uuid.uuid4())})
        self._since = time.time_ns()
        self._exporter = OTLPMetricExporter()
        self._every_s = _interval_ms(environment) / 1000
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metric-export", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what was counted to the end, and stop."""
        self._closed.set()
        self._thread.join()
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            self._try_to_send()
        self._try_to_send()

    def _try_to_send(self) -> None:
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - the next time has it all; a thread that ended has nothing
            self.refused += 1
            logger.warning("Metrics were not exported: %s.", type(error).__name__)

    def _send(self) -> None:
        data = metrics_data(self._told.collect(), self._resource, since=self._since, now=time.time_ns())
        if self._exporter.export(data) is not MetricExportResult.SUCCESS:
            self.refused += 1


def _interval_ms(environment: Mapping[str, str]) -> int:
    """As OpenTelemetry reads it, which takes its own number for one that is none."""
    text = environment.get(OTEL_METRIC_EXPORT_INTERVAL, "")
    return int(text) if text.isdecimal() and int(text) else _USUALLY_MS
