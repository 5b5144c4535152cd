"""Every query of the dashboards and the alerts, asked of a real Prometheus that scrapes the real service."""

import math
from pathlib import Path

import pytest

from tests.support.busy_service import BusyService, busy_service
from tests.support.dashboards import Asked, alert_values, alerts, choices, panel_queries, variables
from tests.support.prometheus import Prometheus, program, running_prometheus

# A guard against waiting for ever: the worker looks into the database four times a minute.
ROUNDS = 300


@pytest.mark.slow
def test_every_query_finds_something(migrated_database_url: str, redis_url: str, state_dir: Path) -> None:
    """Under load from two tenants: variables offer both by name, panels show numbers, alerts have values."""
    program("prometheus")
    with busy_service(migrated_database_url, redis_url, state_dir) as service:
        targets = {"agentflow-api": service.api.port, "agentflow-worker": service.worker_port}
        (state_dir / "prometheus").mkdir()
        with running_prometheus(state_dir / "prometheus", service.api.operator_token, targets) as prometheus:
            service.once(state_dir)
            chosen = offered(service, prometheus)
            asked = [*panel_queries("prometheus"), *alert_values()]
            missing = [one.filled_in(chosen) for one in asked]
            for _ in range(ROUNDS):
                service.round()
                missing = [one for one in missing if not answered(prometheus, one)]
                if not missing:
                    break
            assert not missing, "\n".join(f"{one.where}: {one.expr}" for one in missing)
            rules = prometheus.get("rules")["groups"]
            health = {rule["name"]: rule["health"] for group in rules for rule in group["rules"]}
            assert health == {alert["alert"]: "ok" for alert in alerts()}


def offered(service: BusyService, prometheus: Prometheus) -> dict[str, str]:
    """The variables' values for the tenant that does everything; the other one is offered beside it."""
    chosen = {}
    for variable, asked in variables():
        texts: dict[str, str] = {}
        for _ in range(ROUNDS):
            service.round()
            texts = choices(variable, prometheus.query(asked.expr))
            if texts.keys() >= {"large", "small"}:
                break
        tenants = {"large": service.large, "small": service.small}
        assert texts == {slug: str(tenant.tenant.tenant_id) for slug, tenant in tenants.items()}
        chosen[variable["name"]] = texts["large"]
    return chosen


def answered(prometheus: Prometheus, asked: Asked) -> bool:
    """Whether there is a number, at least one."""
    return any(not math.isnan(value) for _, value in prometheus.query(asked.expr))
