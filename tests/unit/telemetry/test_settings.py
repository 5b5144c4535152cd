"""What telemetry is told, and what it says of what it does not understand."""

from pathlib import Path

import pytest

from agentflow_telemetry import Mode, read_telemetry_settings
from agentflow_telemetry.prices import Price

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, Mode.METRICS),
        (ENDPOINT, Mode.TRACES),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, Mode.TRACES),
        ({"AGENTFLOW_TELEMETRY": "off", **ENDPOINT}, Mode.OFF),
        ({"AGENTFLOW_TELEMETRY": "metrics", **ENDPOINT}, Mode.METRICS),
        ({"AGENTFLOW_TELEMETRY": "Traces"}, Mode.TRACES),
        ({"OTEL_TRACES_EXPORTER": "none", **ENDPOINT}, Mode.METRICS),
        ({"OTEL_SDK_DISABLED": "true", "AGENTFLOW_TELEMETRY": "traces"}, Mode.OFF),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **ENDPOINT}, Mode.TRACES),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Mode.METRICS),
    ],
)
def test_modes(environment: dict[str, str], mode: Mode) -> None:
    """What is said holds; else an endpoint means that spans go there."""
    assert read_telemetry_settings(environment).mode is mode


def test_prices(tmp_path: Path) -> None:
    """A table for each model."""
    file = tmp_path / "prices.toml"
    file.write_text('["gpt-4o"]\ninput_usd_per_million = 2.5\noutput_usd_per_million = 10\n')
    assert read_telemetry_settings({"AGENTFLOW_MODEL_PRICES": str(file)}).prices == {
        "gpt-4o": Price(2.5, 10.0)
    }
    assert Price(2.5, 10.0).of(1_000_000, 500_000) == 7.5


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AGENTFLOW_TELEMETRY": "on"}, "AGENTFLOW_TELEMETRY is off, metrics or traces"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **ENDPOINT}, "OTEL_EXPORTER_OTLP_PROTOCOL must be http"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", **ENDPOINT},
            "TRACES_PROTOCOL must be http/prot",
        ),
        ({"AGENTFLOW_METRICS_TENANTS": "many"}, "AGENTFLOW_METRICS_TENANTS must be a whole number"),
        ({"AGENTFLOW_METRICS_TENANTS": "1001"}, "up to 1000"),
        ({"AGENTFLOW_MODEL_PRICES": "/no/such/file"}, "AGENTFLOW_MODEL_PRICES"),
    ],
)
def test_wrong_settings_are_told(environment: dict[str, str], words: str) -> None:
    """By name."""
    with pytest.raises(ValueError, match=words):
        read_telemetry_settings(environment)


@pytest.mark.parametrize(
    "text",
    [
        "m = 1",
        "[m]\ninput_usd_per_million = 1",
        "[m]\ninput_usd_per_million = 1\noutput_usd_per_million = -1",
        "[m]\ninput_usd_per_million = true\noutput_usd_per_million = 1",
        "[m]\ninput_usd_per_million = 1\noutput_usd_per_million = 1\ncached = 1",
        "not toml",
    ],
)
def test_wrong_prices_are_told(tmp_path: Path, text: str) -> None:
    """A price that is misread would be a bill that is wrong."""
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match="AGENTFLOW_MODEL_PRICES"):
        read_telemetry_settings({"AGENTFLOW_MODEL_PRICES": str(file)})
