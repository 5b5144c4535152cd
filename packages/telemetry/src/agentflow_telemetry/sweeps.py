"""What retention deletes, counted, and how the sweeps go."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class SweepMetrics:
    """Counts of one process. No tenant is named."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Count from now on; nobody is told without a registry."""
        self._threads = _counter(registry, "deleted_threads", "Threads deleted as due.")
        self._versions = _counter(registry, "deleted_versions", "Versions of threads deleted as due.")
        kept = "Threads past their time that were left, since somebody goes on."
        self._kept = _counter(registry, "kept_threads", kept)
        self._pruned = _counter(registry, "pruned_threads", "Threads whose old versions were forgotten.")
        self._seconds = Gauge(
            "agentflow_retention_sweep_duration_seconds",
            "How long the latest whole sweep took.",
            registry=registry,
        )

    def deleted(self, *, threads: int, versions: int, kept: int) -> None:
        """A batch is done."""
        self._threads.inc(threads)
        self._versions.inc(versions)
        self._kept.inc(kept)

    def pruned(self, threads: int) -> None:
        """Old versions of some threads are gone."""
        self._pruned.inc(threads)

    def finished(self, seconds: float) -> None:
        """A sweep went through all there is."""
        self._seconds.set(seconds)


def _counter(registry: CollectorRegistry | None, name: str, said: str) -> Counter:
    return Counter(f"agentflow_retention_{name}", said, registry=registry)
