"""What retention deletes is counted where somebody reads it."""

from prometheus_client import CollectorRegistry

from agentflow_telemetry import SweepMetrics
from agentflow_telemetry.page import rendered
from tests.support.spans import families


def test_a_sweep_is_counted() -> None:
    """Batches add up; the last sweep's time stands alone, and no tenant is named."""
    registry = CollectorRegistry()
    metrics = SweepMetrics(registry)
    metrics.deleted(threads=2, versions=40, kept=1)
    metrics.deleted(threads=3, versions=60, kept=0)
    metrics.pruned(4)
    for seconds in (9.0, 1.5):
        metrics.finished(seconds)
    found = families(rendered(registry, ""))
    samples = [sample for family in found.values() for sample in family.samples]
    assert {sample.name: sample.value for sample in samples} == {
        "agentflow_retention_deleted_threads_total": 5,
        "agentflow_retention_deleted_versions_total": 100,
        "agentflow_retention_kept_threads_total": 1,
        "agentflow_retention_pruned_threads_total": 4,
        "agentflow_retention_sweep_duration_seconds": 1.5,
    }
    assert not any(sample.labels for sample in samples)
