"""What a process is told of its telemetry, the same for every service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agentflow_telemetry import modes, prices
from agentflow_telemetry.metric_export import exports_metrics
from agentflow_telemetry.modes import Mode, mode_of
from agentflow_telemetry.prices import Prices, read_prices
from agentflow_telemetry.standard import check_protocol

MOST_TENANTS: Final = 50
_TENANTS: Final = "AGENTFLOW_METRICS_TENANTS"

VARIABLES: Final = {
    modes.VARIABLE: modes.MEANING,
    _TENANTS: "Tenants that metrics name, the busiest; all others are one. 50 if not set.",
    prices.VARIABLE: prices.MEANING,
}


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """See `VARIABLES`."""

    mode: Mode = Mode.METRICS
    most_tenants: int = MOST_TENANTS
    prices: Prices = field(default_factory=dict)


def read_telemetry_settings(environment: Mapping[str, str]) -> TelemetrySettings:
    """The settings of this process.

    Raises:
        ValueError: One is malformed; the text names it and says what to write.
    """
    tenants = environment.get(_TENANTS, "") or str(MOST_TENANTS)
    if not tenants.isdecimal() or int(tenants) > 1000:
        raise ValueError(f"{_TENANTS} must be a whole number up to 1000: {VARIABLES[_TENANTS]}")
    mode = mode_of(environment)
    if mode is Mode.TRACES or exports_metrics(environment):
        check_protocol(environment)
    return TelemetrySettings(
        mode=mode,
        most_tenants=int(tenants),
        prices=read_prices(environment.get(prices.VARIABLE, "")),
    )
