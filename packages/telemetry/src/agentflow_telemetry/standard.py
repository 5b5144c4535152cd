"""What OpenTelemetry's own variables say where the parts of its SDK that are used here do not ask them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_SDK_DISABLED,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

_SERVICE: Final = "service.name"
_PROTOCOL: Final = "http/protobuf"
_PROTOCOLS: Final = (
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
)


def is_disabled(environment: Mapping[str, str]) -> bool:
    """Whether telemetry is to do nothing at all."""
    return environment.get(OTEL_SDK_DISABLED, "").strip().lower() == "true"


def refuses_traces(environment: Mapping[str, str]) -> bool:
    """Whether no spans are to leave the process, though there is an endpoint."""
    return environment.get(OTEL_TRACES_EXPORTER, "").strip().lower() == "none"


def check_protocol(environment: Mapping[str, str]) -> None:
    """Insist on the one that is spoken: what is sent to a port of another is lost.

    Raises:
        ValueError: Another one is named; the text says what to write.
    """
    for name in _PROTOCOLS:
        if environment.get(name, "").strip().lower() not in ("", _PROTOCOL):
            raise ValueError(f"{name} must be {_PROTOCOL}: use the collector's port for it, most often 4318.")


def resource_of(service: str, attributes: Mapping[str, str] | None = None) -> Resource:
    """A process's resource. A service name in the environment stands before ours, as the standard has it."""
    named = OTELResourceDetector().detect().attributes.get(_SERVICE) or service
    return Resource.create({**(attributes or {}), _SERVICE: named})
