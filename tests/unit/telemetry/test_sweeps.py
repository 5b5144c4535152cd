"""What retention deletes is counted where somebody reads it."""

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from agentflow_telemetry import SweepMetrics


def read(reader: InMemoryMetricReader) -> dict[str, Any]:
    data = reader.get_metrics_data()
    assert data is not None
    [resource] = data.resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric.data.data_points[0].value for metric in scope.metrics}  # type: ignore[union-attr]


def test_a_sweep_is_counted() -> None:
    """Batches add up; the last sweep's time stands alone, and no tenant is named."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics = SweepMetrics(meter=provider.get_meter("test"))
    metrics.deleted(threads=2, versions=40, kept=1)
    metrics.deleted(threads=3, versions=60, kept=0)
    metrics.pruned(4)
    for seconds in (9.0, 1.5):
        metrics.finished(seconds)
    assert read(reader) == {
        "agentflow.retention.deleted_threads": 5,
        "agentflow.retention.deleted_versions": 100,
        "agentflow.retention.kept_threads": 1,
        "agentflow.retention.pruned_threads": 4,
        "agentflow.retention.sweep_duration": 1.5,
    }
    provider.shutdown()
