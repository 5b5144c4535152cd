"""The API's settings, read once from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agentflow_hosting.agents.registry import DEMO_AGENTS, parse_agents
from agentflow_telemetry import TelemetrySettings, read_telemetry_settings
from agentflow_telemetry.settings import VARIABLES as TELEMETRY_VARIABLES
from agentflow_tenancy.exports.folder import MEANING as EXPORTS_MEANING
from agentflow_tenancy.exports.folder import VARIABLE as EXPORTS_VARIABLE
from agentflow_tenancy.moves.policy import VARIABLES as MOVE_VARIABLES
from agentflow_tenancy.moves.policy import MovePolicy


class SettingsError(ValueError):
    """A setting is missing or malformed; the text names the variable and what to write."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the process is told from outside. Secrets do not show in its repr."""

    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    key_pepper: bytes = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    agents: Mapping[str, str] = field(default_factory=lambda: dict(DEMO_AGENTS))
    max_body_bytes: int = 4 * 1024 * 1024
    cors_origins: tuple[str, ...] = ()
    pool_size: int = 20
    lock_wait_s: float = 30.0
    store_timeout_s: float = 10.0
    move_policy: MovePolicy = field(default_factory=MovePolicy)
    allow_http_issuers: bool = False
    allow_private_webhooks: bool = False
    operator_token: str | None = field(default=None, repr=False)
    quota_redis_url: str | None = field(default=None, repr=False)
    replicas: int = 1
    quota_grace_s: float = 30.0
    requests_at_once: int = 16
    store_traces: bool = True
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    exports: Path | None = None
    max_import_bytes: int = 10 * 1024**3
    console: bool = True
    console_https: bool = False


_SECRET_CHARACTERS: Final = 32
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9*.:\[\]-]+", re.ASCII)

# Variable -> what it is for; docs/reference/settings.md shows the same list.
VARIABLES: Final = {
    "AGENTFLOW_DATABASE_URL": "Postgres, postgresql+asyncpg://user:password@host:5432/database, by a login "
    "of the role agentflow_app (`agentflow-cloud login`). Required.",
    "AGENTFLOW_REDIS_URL": "Redis or Valkey, redis://host:6379/0. Required; `none` runs on Postgres alone.",
    "AGENTFLOW_KEY_PEPPER": "Secret of at least 32 characters that API keys are hashed with. Required.",
    "AGENTFLOW_HOST": "Address to listen on. 127.0.0.1 if not set.",
    "AGENTFLOW_PORT": "Port to listen on. 8000 if not set.",
    "AGENTFLOW_API_WORKERS": "Processes that serve. 1 if not set.",
    "AGENTFLOW_AGENTS": "Hosted agents, name=module:attribute, comma-separated. The demo agents if not set.",
    "AGENTFLOW_MAX_BODY_BYTES": "Largest request body. 4194304 if not set.",
    "AGENTFLOW_CORS_ORIGINS": "Origins a browser may call from, separated by commas. None if not set.",
    "AGENTFLOW_POOL_SIZE": "Connections to Postgres each process keeps. 20 if not set.",
    "AGENTFLOW_LOCK_WAIT_S": "Seconds a run waits while another one holds its thread. 30 if not set.",
    "AGENTFLOW_STORE_TIMEOUT_S": "Seconds one statement may take; then the answer is 503. 10 if not set.",
    "AGENTFLOW_OPERATOR_TOKEN": "Secret of at least 32 characters that opens the operator's routes, "
    "/v1/admin and /metrics. They are closed if not set.",
    "AGENTFLOW_QUOTA_REDIS_URL": "Redis or Valkey that counts quotas. AGENTFLOW_REDIS_URL if not set.",
    "AGENTFLOW_ALLOW_HTTP_ISSUERS": "`true` also fetches issuers' keys by http and from private addresses.",
    "AGENTFLOW_ALLOW_PRIVATE_WEBHOOKS": "`true` takes webhooks by http and at private addresses, too.",
    "AGENTFLOW_REPLICAS": "Machines that run this service; without Redis each gives its share. 1 if not set.",
    "AGENTFLOW_QUOTA_GRACE_S": "Seconds without Redis that limited tenants may spend on. 30 if not set.",
    "AGENTFLOW_REQUESTS_AT_ONCE": "Requests that each process works on; half for one tenant. 16 if not set.",
    "AGENTFLOW_STORE_TRACES": "`false` keeps nothing of what runs did. They are stored if not set.",
    **TELEMETRY_VARIABLES,
    EXPORTS_VARIABLE: EXPORTS_MEANING,
    "AGENTFLOW_MAX_IMPORT_BYTES": "Largest archive that is imported. 10737418240 if not set.",
    "AGENTFLOW_CONSOLE": "`off` closes /console. `https` has its cookies sent by https alone, for who is "
    "behind a proxy that ends it. `on` if not set.",
    **MOVE_VARIABLES,
    "AGENTFLOW_MODEL": "Model of the demo agent `assistant`.",
    "AGENTFLOW_MODEL_BASE_URL": "OpenAI-compatible endpoint of that model.",
    "AGENTFLOW_MODEL_API_KEY": "Its key. Without a base URL, OPENAI_API_KEY if not set.",
}


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: One is missing or malformed.
    """
    redis_url = _required(environment, "AGENTFLOW_REDIS_URL")
    pepper = _required(environment, "AGENTFLOW_KEY_PEPPER").encode()
    if len(pepper) < _SECRET_CHARACTERS:
        raise SettingsError("AGENTFLOW_KEY_PEPPER must have at least 32 characters.")
    try:
        agents = parse_agents(environment.get("AGENTFLOW_AGENTS", ""))
    except ValueError as error:
        raise SettingsError(f"AGENTFLOW_AGENTS: {error}") from error
    try:
        move_policy = MovePolicy.read(environment)
        telemetry = read_telemetry_settings(environment)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    console = environment.get("AGENTFLOW_CONSOLE", "").lower() or "on"
    if console not in ("on", "off", "https"):
        raise SettingsError("AGENTFLOW_CONSOLE is on, off or https.")
    cache_url = None if redis_url.lower() == "none" else redis_url
    return Settings(
        database_url=_required(environment, "AGENTFLOW_DATABASE_URL"),
        redis_url=cache_url,
        key_pepper=pepper,
        host=environment.get("AGENTFLOW_HOST", "127.0.0.1"),
        port=_whole(environment, "AGENTFLOW_PORT", 8000, least=0),
        workers=_whole(environment, "AGENTFLOW_API_WORKERS", 1, least=1),
        agents=agents or dict(DEMO_AGENTS),
        max_body_bytes=_whole(environment, "AGENTFLOW_MAX_BODY_BYTES", 4 * 1024 * 1024, least=1024),
        cors_origins=_origins(environment),
        pool_size=_whole(environment, "AGENTFLOW_POOL_SIZE", 20, least=1),
        lock_wait_s=_whole(environment, "AGENTFLOW_LOCK_WAIT_S", 30, least=0),
        store_timeout_s=_whole(environment, "AGENTFLOW_STORE_TIMEOUT_S", 10, least=1),
        move_policy=move_policy,
        allow_http_issuers=environment.get("AGENTFLOW_ALLOW_HTTP_ISSUERS", "").lower() == "true",
        allow_private_webhooks=environment.get("AGENTFLOW_ALLOW_PRIVATE_WEBHOOKS", "").lower() == "true",
        operator_token=_operator_token(environment),
        quota_redis_url=environment.get("AGENTFLOW_QUOTA_REDIS_URL") or cache_url,
        replicas=_whole(environment, "AGENTFLOW_REPLICAS", 1, least=1),
        quota_grace_s=_whole(environment, "AGENTFLOW_QUOTA_GRACE_S", 30, least=0),
        requests_at_once=_whole(environment, "AGENTFLOW_REQUESTS_AT_ONCE", 16, least=2),
        exports=Path(exports) if (exports := environment.get(EXPORTS_VARIABLE)) else None,
        max_import_bytes=_whole(environment, "AGENTFLOW_MAX_IMPORT_BYTES", 10 * 1024**3, least=1024),
        store_traces=environment.get("AGENTFLOW_STORE_TRACES", "").lower() != "false",
        telemetry=telemetry,
        console=console != "off",
        console_https=console == "https",
    )


def _operator_token(environment: Mapping[str, str]) -> str | None:
    token = environment.get("AGENTFLOW_OPERATOR_TOKEN", "")
    if token and not (len(token) >= _SECRET_CHARACTERS and token.isascii() and token.isprintable()):
        raise SettingsError("AGENTFLOW_OPERATOR_TOKEN must have at least 32 characters, printable ASCII.")
    return token or None


def _origins(environment: Mapping[str, str]) -> tuple[str, ...]:
    given = [part.strip() for part in environment.get("AGENTFLOW_CORS_ORIGINS", "").split(",")]
    origins = tuple(filter(None, given))
    # A browser names its page's origin so and not otherwise: another form would let nobody in.
    if not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in origins):
        raise SettingsError("AGENTFLOW_CORS_ORIGINS has origins such as https://play.example.com, or *.")
    return origins


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"Set {name}: {VARIABLES[name]}")
    return value


def _whole(environment: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{name} must be a whole number of at least {least}: {VARIABLES[name]}")
    return int(text)
