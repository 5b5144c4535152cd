"""The gauge that says what a process does without: 1 while it is degraded, else 0, for each of its modes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class DegradedGauge(Collector):
    """Asks whenever somebody looks."""

    def __init__(self, modes: Mapping[str, Callable[[], bool]], registry: CollectorRegistry) -> None:
        """Tell from now on.

        Args:
            modes: By name: whether it is degraded now. Asked from any thread.
            registry: Of what the process tells.
        """
        self._modes = dict(modes)
        self._registry = registry
        registry.register(self)

    def close(self) -> None:
        """Tell no more; what the modes ask may be closed then."""
        self._registry.unregister(self)

    def collect(self) -> Iterable[Metric]:
        """Every mode."""
        said = "1 while a part of the service is away and answers come without it."
        family = GaugeMetricFamily("agentflow_degraded", said, labels=["mode"])
        for mode, asked in self._modes.items():
            family.add_metric([mode], int(asked()))
        return [family]
