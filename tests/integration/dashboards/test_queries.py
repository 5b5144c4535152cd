"""Every query of dashboards, alerts and guide, asked of a real Prometheus that scrapes the real service."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import traceql
from tests.support.busy_service import BusyService, busy_service
from tests.support.dashboards import (
    Asked,
    alert_values,
    alerts,
    choices,
    guide_queries,
    panel_queries,
    shown,
    variables,
)
from tests.support.prometheus import Prometheus, program, running_prometheus

# A guard against waiting for ever, not a measure: the worker looks into the database four times a minute.
ROUNDS = 300


@pytest.mark.slow
def test_every_query_finds_something(migrated_database_url: str, redis_url: str, state_dir: Path) -> None:
    """Under load from two tenants: variables offer both by name, panels show numbers, and lead to a trace."""
    program("prometheus")
    (state_dir / "prometheus").mkdir()
    with busy_service(migrated_database_url, redis_url, state_dir) as service:
        targets = {"agentflow-api": service.api.port, "agentflow-worker": service.worker_port}
        with running_prometheus(state_dir / "prometheus", service.api.operator_token, targets) as prometheus:
            service.once(state_dir)
            chosen = offered(service, prometheus)
            every_query_is_answered(service, prometheus, chosen)
            rules_are_evaluated(prometheus)
            the_guide_shows_what_is_found(service, prometheus, chosen)
            a_dot_is_a_trace(service, prometheus, chosen["tenant"])
            searches_find_spans(service, chosen)


def offered(service: BusyService, prometheus: Prometheus) -> dict[str, str]:
    """The variables' values for the tenant that does everything; the other one is offered beside it."""
    tenants = {"large": service.large, "small": service.small}
    ids = {slug: str(tenant.tenant.tenant_id) for slug, tenant in tenants.items()}
    chosen = {}
    for variable, asked in variables():

        def found(variable: Any = variable, expr: str = asked.expr) -> dict[str, str]:
            return choices(variable, prometheus.query(expr))

        assert until(service, found, ids.__eq__) == ids
        chosen[variable["name"]] = ids["large"]
    return chosen


def every_query_is_answered(service: BusyService, prometheus: Prometheus, chosen: Mapping[str, str]) -> None:
    """Each has a number, sooner or later, and is not asked again then."""
    asked = [one.filled_in(chosen) for one in (*panel_queries("prometheus"), *alert_values())]
    assert len(asked) > 100

    def unanswered() -> list[Asked]:
        asked[:] = [one for one in asked if not answered(prometheus, one)]
        return asked

    missing = until(service, unanswered, lambda left: not left)
    assert not missing, "\n".join(f"{one.where}: {one.expr}" for one in missing)


def rules_are_evaluated(prometheus: Prometheus) -> None:
    """All of them, without an error."""
    groups = prometheus.get("rules")["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert health == {alert["alert"]: "ok" for alert in alerts()}


def the_guide_shows_what_is_found(
    service: BusyService, prometheus: Prometheus, chosen: Mapping[str, str]
) -> None:
    """Each line below a query is one of its series; the numbers are those of the day they were written."""
    for asked, lines in guide_queries():
        expr = asked.filled_in(chosen).expr

        def found(expr: str = expr) -> list[str]:
            return [shown(labels) for labels, value in prometheus.query(expr) if not math.isnan(value)]

        def fit(series: list[str], lines: list[str] = lines) -> bool:
            return all(any(re.fullmatch(_like(line), one) for one in series) for line in lines)

        series = until(service, found, fit)
        assert fit(series), f"{asked.where}: {series}"


def a_dot_is_a_trace(service: BusyService, prometheus: Prometheus, tenant_id: str) -> None:
    """An exemplar of the slow tenant's times names a trace that the collector has."""
    series = f'traces_span_metrics_duration_seconds_bucket{{agentflow_tenant_id="{tenant_id}"}}'

    def kept() -> bool:
        dots = prometheus.exemplars(series)
        return any(bytes.fromhex(dot["trace_id"]) in body for dot in dots for body in service.collector.raw)

    assert until(service, kept, bool)


def searches_find_spans(service: BusyService, chosen: Mapping[str, str]) -> None:
    """Each selects spans that reached the collector, and they have what it shows."""
    for search in panel_queries("tempo"):
        query = search.filled_in(chosen).expr

        def shows(query: str = query) -> set[str]:
            spans = traceql.found(query, service.collector.spans())
            return {name for span in spans for name in span["attributes"]}

        shown = traceql.shown(query)
        assert shown <= until(service, shows, shown.issubset), search


def until[T](service: BusyService, found: Callable[[], T], enough: Callable[[T], bool]) -> T:
    """What is found at last, while the service works."""
    result = found()
    for _ in range(ROUNDS):
        if enough(result):
            break
        service.round()
        result = found()
    return result


def answered(prometheus: Prometheus, asked: Asked) -> bool:
    """Whether there is a number, at least one."""
    return any(not math.isnan(value) for _, value in prometheus.query(asked.expr))


def _like(line: str) -> str:
    labels, _, number = line.rpartition(" ")
    assert float(number) >= 0
    return ".*".join(re.escape(part) for part in labels.split("..."))
