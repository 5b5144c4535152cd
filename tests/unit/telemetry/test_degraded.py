"""The gauge of degraded modes, as whoever scrapes sees it."""

from prometheus_client import CollectorRegistry

from agentflow_telemetry import DegradedGauge
from agentflow_telemetry.page import rendered
from tests.support.spans import families, lines


def observed(registry: CollectorRegistry) -> dict[str, float]:
    found = lines(families(rendered(registry, "")), "agentflow_degraded")
    return {line.labels["mode"]: line.value for line in found}


def test_each_mode_is_told() -> None:
    """As it is when somebody reads; nothing once it is closed."""
    registry = CollectorRegistry()
    is_away = {"cache": False, "quotas": True}
    gauge = DegradedGauge(
        {mode: lambda mode=mode: is_away[mode] for mode in is_away},  # type: ignore[misc]  # a default
        registry,
    )
    assert observed(registry) == {"cache": 0, "quotas": 1}
    is_away["cache"] = True
    assert observed(registry) == {"cache": 1, "quotas": 1}
    gauge.close()
    assert observed(registry) == {}
