"""What retention deletes, counted, and how the sweeps go."""

from __future__ import annotations

from opentelemetry.metrics import Meter, get_meter

from agentflow_telemetry import names


class SweepMetrics:
    """Told to whoever set a meter provider; nobody else pays for it. No tenant is named."""

    def __init__(self, *, meter: Meter | None = None) -> None:
        """Count from now on; `meter` is the process's when None."""
        chosen = meter or get_meter("agentflow")
        self._threads = chosen.create_counter(names.RETENTION_THREADS, description="Threads deleted as due.")
        self._versions = chosen.create_counter(
            names.RETENTION_VERSIONS, description="Versions of threads deleted as due."
        )
        self._kept = chosen.create_counter(
            names.RETENTION_KEPT,
            description="Threads past their time that were left, since somebody goes on.",
        )
        self._pruned = chosen.create_counter(
            names.RETENTION_PRUNED, description="Threads whose old versions were forgotten."
        )
        self._seconds = chosen.create_gauge(
            names.RETENTION_SECONDS, unit="s", description="How long the latest whole sweep took."
        )

    def deleted(self, *, threads: int, versions: int, kept: int) -> None:
        """A batch is done."""
        self._threads.add(threads)
        self._versions.add(versions)
        self._kept.add(kept)

    def pruned(self, threads: int) -> None:
        """Old versions of some threads are gone."""
        self._pruned.add(threads)

    def finished(self, seconds: float) -> None:
        """A sweep went through all there is."""
        self._seconds.set(seconds)
