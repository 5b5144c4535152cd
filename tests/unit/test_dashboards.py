"""The dashboards and alerts as files: what generates them, what they name, and that all of it is there."""

import re
from itertools import combinations
from typing import Any

import yaml

from infra.grafana.dashboards import FOLDER, dashboards
from tests.support.dashboards import alerts, boards, panel_queries, panels
from tests.support.run import ROOT

PROMISED = {
    "agentflow-overview": {
        "Requests per tenant", "Error ratio per tenant", "Routes", "Quota rejections by tenant and quota",
        "Noisy neighbours", "Slow threads",
    },
    "agentflow-storage": {
        "Checkpoint writes", "Checkpoint reads", "Cache hit ratio", "Storage and its forecast",
        "Bytes by placement", "Moves",
    },
    "agentflow-agents": {"Tokens by tenant and model", "Cost by tenant and model", "Tool errors"},
    "agentflow-reliability": {
        "Lock wait", "Lock outcomes", "Pool wait", "Run queue age", "Offboarding backlog", "Degraded modes",
        "Lost by telemetry",
    },
    "agentflow-tenant": {"Requests by route", "Quotas", "Tokens by model", "Cost by model", "Slow threads"},
}  # fmt: skip
RUNBOOKS = ROOT / "docs" / "runbooks"


def test_files_are_what_is_generated() -> None:
    """`make dashboards` would change nothing."""
    written = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert written == dashboards()


def test_panels_say_what_they_show() -> None:
    """A title that its page has once, a description, a place of its own, queries with ids of their own."""
    for uid, board in boards().items():
        titles = [panel["title"] for panel in panels(board)]
        assert len(set(titles)) == len(titles), uid
        for panel in panels(board):
            assert panel["description"], (uid, panel["title"])
            ids = [target["refId"] for target in panel["targets"]]
            assert ids
            assert len(set(ids)) == len(ids)
        places = [panel["gridPos"] for panel in board["panels"]]
        assert not [pair for pair in combinations(places, 2) if _overlap(*pair)], uid


def test_panels_that_were_promised() -> None:
    """Each on its page; times of checkpoints with a line at the guide's 50 ms."""
    shown = {uid: {panel["title"] for panel in panels(board)} for uid, board in boards().items()}
    for uid, titles in PROMISED.items():
        assert titles <= shown[uid], titles - shown[uid]
    storage = {panel["title"]: panel for panel in panels(boards()["agentflow-storage"])}
    for title in ("Checkpoint writes", "Checkpoint reads"):
        asked = " ".join(target["expr"] for target in storage[title]["targets"])
        assert all(f"histogram_quantile({part}," in asked for part in ("0.5", "0.95", "0.99")), asked
        steps = storage[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert 0.05 in [step["value"] for step in steps]
    tempo = {search.where.partition(": ")[2] for search in panel_queries("tempo")}
    assert "Slow threads" in tempo


def test_links_between_pages_lead_somewhere() -> None:
    """Each uid in a link is a dashboard's."""
    for board in boards().values():
        assert set(re.findall(r"/d/([a-z-]+)", str(board))) <= boards().keys()


def test_searches_for_traces_name_what_spans_have() -> None:
    """Attributes in TraceQL are those that spans are given, spelled as they are."""
    known = _attributes()
    searches = panel_queries("tempo")
    assert searches
    for search in searches:
        named = re.findall(r"span\.([a-z_]+(?:\.[a-z_]+)+)", search.expr)
        assert set(named) <= known, search
        assert search.expr.count("{") == search.expr.count("}") == 1


def test_every_alert_has_a_page() -> None:
    """It names the alert, and the index leads to it; no page is left over."""
    index = (RUNBOOKS / "README.md").read_text()
    pages = set()
    for alert in alerts():
        page = ROOT / alert["annotations"]["runbook"]
        assert alert["alert"] in page.read_text().splitlines()[0]
        assert f"| {alert['alert']} | [{page.stem}]({page.name}) |" in index
        assert alert["annotations"]["dashboard"] in boards()
        assert alert["labels"]["severity"] in {"page", "ticket"}
        pages.add(page.name)
    assert pages == {path.name for path in RUNBOOKS.glob("*.md")} - {"README.md"}


def test_runbooks_name_panels_that_are_there() -> None:
    """Names of dashboards, in italics, are those of pages."""
    titles = {board["title"].removeprefix("AgentFlow: ").capitalize() for board in boards().values()}
    for page in RUNBOOKS.glob("*.md"):
        assert set(re.findall(r"(?<!\*)\*([A-Z][a-z ]+)\*", page.read_text())) <= titles, page.name


def test_the_collector_keeps_errors_and_slow_traces() -> None:
    """All of them, whatever share of the others; every part of the pipeline is defined."""
    configuration = yaml.safe_load((ROOT / "infra/collector/collector.yml").read_text())
    policies = {p["type"]: p for p in configuration["processors"]["tail_sampling"]["policies"]}
    assert policies["status_code"]["status_code"] == {"status_codes": ["ERROR"]}
    assert policies["latency"]["latency"]["threshold_ms"] <= 1000
    assert 0 < policies["probabilistic"]["probabilistic"]["sampling_percentage"] <= 5
    for pipeline in configuration["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= configuration[kind].keys()


def _attributes() -> set[str]:
    """Constants of the modules that name spans' attributes."""
    from agentflow.utils import span_names
    from agentflow_telemetry import names

    values = [value for module in (span_names, names) for value in vars(module).values()]
    return {value for value in values if isinstance(value, str)} | {"error.type"}


def _overlap(one: Any, other: Any) -> bool:
    return bool(
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
