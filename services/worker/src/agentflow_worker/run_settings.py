"""What the worker is told about runs: nothing, and it carries out none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agentflow_hosting.agents.registry import DEMO_AGENTS, parse_agents

_SECRET_CHARACTERS: Final = 32


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What carrying out runs takes. Secrets do not show in its repr."""

    database_url: str = field(repr=False)
    key_pepper: bytes = field(repr=False)
    quota_redis_url: str | None = field(default=None, repr=False)
    agents: Mapping[str, str] = field(default_factory=lambda: dict(DEMO_AGENTS))
    at_once: int = 16
    pool_size: int = 20
    processes: int = 1
    quota_grace_s: float = 30.0
    allow_private_webhooks: bool = False
    store_traces: bool = True


VARIABLES: Final = {
    "AGENTFLOW_DATABASE_URL": "Postgres by a login of the role agentflow_app, for the agents: runs are "
    "carried out by it. If not set, this worker carries out none.",
    "AGENTFLOW_KEY_PEPPER": "The API's secret, which webhooks are signed with. Required for runs.",
    "AGENTFLOW_AGENTS": "Hosted agents, as the API has them. The demo agents if not set.",
    "AGENTFLOW_RUNS_AT_ONCE": "Runs that this process carries out at a time. 16 if not set.",
    "AGENTFLOW_POOL_SIZE": "Connections to Postgres that runs share. 20 if not set.",
    "AGENTFLOW_QUOTA_REDIS_URL": "Redis or Valkey that counts quotas. AGENTFLOW_REDIS_URL if not set.",
    "AGENTFLOW_REPLICAS": "Machines that carry out runs; without Redis each gives its share. 1 if not set.",
    "AGENTFLOW_QUOTA_GRACE_S": "Seconds without Redis that limited tenants may spend on. 30 if not set.",
    "AGENTFLOW_ALLOW_PRIVATE_WEBHOOKS": "`true` tells webhooks by http and at private addresses, too.",
    "AGENTFLOW_STORE_TRACES": "`false` keeps nothing of what runs did. They are stored if not set.",
}


def read_run_settings(environment: Mapping[str, str], redis_url: str | None) -> RunSettings | None:
    """The settings of runs, or None when this worker carries out none.

    Args:
        environment: Names and values.
        redis_url: Counts quotas unless another one does.

    Raises:
        ValueError: One is missing or malformed; the text names it and says what to write.
    """
    database_url = environment.get("AGENTFLOW_DATABASE_URL", "")
    if not database_url:
        return None
    pepper = environment.get("AGENTFLOW_KEY_PEPPER", "").encode()
    if len(pepper) < _SECRET_CHARACTERS:
        raise ValueError("AGENTFLOW_KEY_PEPPER must have at least 32 characters: the API's own.")
    try:
        agents = parse_agents(environment.get("AGENTFLOW_AGENTS", ""))
    except ValueError as error:
        raise ValueError(f"AGENTFLOW_AGENTS: {error}") from error
    return RunSettings(
        database_url=database_url,
        key_pepper=pepper,
        quota_redis_url=environment.get("AGENTFLOW_QUOTA_REDIS_URL") or redis_url,
        agents=agents or dict(DEMO_AGENTS),
        at_once=_whole(environment, "AGENTFLOW_RUNS_AT_ONCE", 16, least=1),
        pool_size=_whole(environment, "AGENTFLOW_POOL_SIZE", 20, least=1),
        processes=_whole(environment, "AGENTFLOW_REPLICAS", 1, least=1),
        quota_grace_s=_whole(environment, "AGENTFLOW_QUOTA_GRACE_S", 30, least=0),
        allow_private_webhooks=environment.get("AGENTFLOW_ALLOW_PRIVATE_WEBHOOKS", "").lower() == "true",
        store_traces=environment.get("AGENTFLOW_STORE_TRACES", "").lower() != "false",
    )


def _whole(environment: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}: {VARIABLES[name]}")
    return int(text)
