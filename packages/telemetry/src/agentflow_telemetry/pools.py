"""How long connections are waited for, and how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0)


class PoolMetrics(Collector):
    """Of a process's pool of connections to Postgres."""

    def __init__(self, connections: Callable[[], dict[str, int]], registry: CollectorRegistry) -> None:
        """Tell from now on.

        Args:
            connections: How many there are in each state: `in_use`, `idle`, and `limit` for the most.
            registry: Of what the process tells.
        """
        self._connections = connections
        wait = Histogram(
            "agentflow_pool_wait_seconds",
            "How long a connection from the pool was waited for.",
            buckets=_BOUNDS,
            registry=registry,
        )
        self.waited: Callable[[float], None] = wait.observe
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """As many as there are now."""
        family = GaugeMetricFamily("agentflow_pool_connections", "Connections to Postgres.", labels=["state"])
        for state, count in self._connections().items():
            family.add_metric([state], count)
        return [family]
