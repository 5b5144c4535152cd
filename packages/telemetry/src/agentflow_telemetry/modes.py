"""How much of telemetry a process does: AGENTFLOW_TELEMETRY."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from agentflow_telemetry.standard import is_disabled, refuses_traces

VARIABLE: Final = "AGENTFLOW_TELEMETRY"
MEANING: Final = (
    "`metrics` counts spans for /metrics, `traces` exports them, too, `off` does neither. `metrics` if not "
    "set, `traces` when OTEL_EXPORTER_OTLP_ENDPOINT is."
)
ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Mode(Enum):
    """What is done with spans."""

    OFF = "off"
    METRICS = "metrics"
    TRACES = "traces"


def mode_of(environment: Mapping[str, str]) -> Mode:
    """What the environment asks for.

    Raises:
        ValueError: AGENTFLOW_TELEMETRY is none of them; the text says what to write.
    """
    text = environment.get(VARIABLE, "").lower()
    if is_disabled(environment):
        return Mode.OFF
    if not text:
        exports = any(map(environment.get, ENDPOINT_VARIABLES)) and not refuses_traces(environment)
        return Mode.TRACES if exports else Mode.METRICS
    try:
        return Mode(text)
    except ValueError:
        raise ValueError(f"{VARIABLE} is off, metrics or traces: {MEANING}") from None
