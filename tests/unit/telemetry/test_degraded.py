"""The gauge of degraded modes, as a reader of metrics sees it."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from agentflow_telemetry import DegradedGauge


def observed(reader: InMemoryMetricReader) -> dict[object, object]:
    data = reader.get_metrics_data()
    if data is None:
        return {}
    points = [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "agentflow.degraded"
        for point in metric.data.data_points
    ]
    return {
        (point.attributes or {})["agentflow.mode"]: point.value
        for point in points
        if isinstance(point, NumberDataPoint)
    }


def test_each_mode_is_told() -> None:
    """As it is when somebody reads; nothing once it is closed."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    is_away = {"cache": False, "quotas": True}
    gauge = DegradedGauge(
        {mode: lambda mode=mode: is_away[mode] for mode in is_away},  # type: ignore[misc]  # a default
        meter=provider.get_meter("test"),
    )
    assert observed(reader) == {"cache": 0, "quotas": 1}
    is_away["cache"] = True
    assert observed(reader) == {"cache": 1, "quotas": 1}
    gauge.close()
    assert observed(reader) == {}
    provider.shutdown()
