"""Where the worker tells its metrics: nowhere, if it is told nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

_PORT: Final = "AGENTFLOW_METRICS_PORT"
_HOST: Final = "AGENTFLOW_METRICS_HOST"
_TOKEN: Final = "AGENTFLOW_OPERATOR_TOKEN"  # noqa: S105 - a variable's name
_LOCAL: Final = "127.0.0.1"
_TOKEN_CHARACTERS: Final = 32

VARIABLES: Final = {
    _PORT: "Port on which this process tells its own metrics. 0, which tells none, if not set.",
    _HOST: "Address of that port. 127.0.0.1 if not set; any other needs AGENTFLOW_OPERATOR_TOKEN.",
    _TOKEN: "Secret of at least 32 characters that whoever reads those metrics must send, if set.",
}


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where to listen, and what whoever asks must send."""

    port: int
    host: str = _LOCAL
    token: str | None = field(default=None, repr=False)


def read_metrics_settings(environment: Mapping[str, str]) -> MetricsSettings | None:
    """The settings of the endpoint, or None when there is none.

    Raises:
        ValueError: One is malformed; the text names it and says what to write.
    """
    port = environment.get(_PORT, "") or "0"
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{_PORT} must be a port: {VARIABLES[_PORT]}")
    if not int(port):
        return None
    token = environment.get(_TOKEN, "") or None
    if token is not None and len(token) < _TOKEN_CHARACTERS:
        raise ValueError(f"{_TOKEN} must have at least {_TOKEN_CHARACTERS} characters: the API's own.")
    host = environment.get(_HOST, "") or _LOCAL
    if token is None and not _is_local(host):
        raise ValueError(f"{_HOST} is not this machine's alone: set {_TOKEN}, too.")
    return MetricsSettings(int(port), host, token)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
