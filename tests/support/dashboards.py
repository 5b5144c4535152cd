"""What the dashboards and the alerts that we ship ask, read from their files."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.run import ROOT

ALERTS = ROOT / "infra" / "prometheus" / "alerts.yml"
GUIDE = ROOT / "docs" / "guide" / "29-dashboards.md"

# What Grafana puts in by itself: with a scrape a second any window has enough of them.
BUILT_IN = {"$__rate_interval": "1m"}
_GUIDE_QUERY = re.compile(r"^```promql\n(.*?)^```$\n\n^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ALERT = re.compile(r"(?P<value>.+) > (?P<limit>[\d.e+]+)", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """A query, and who asks it."""

    where: str
    expr: str

    def filled_in(self, variables: Mapping[str, str]) -> "Asked":
        """With the values of variables in their places; none is left."""
        expr = self.expr
        for name, value in {**BUILT_IN, **{f"${name}": value for name, value in variables.items()}}.items():
            expr = expr.replace(name, value)
        assert not re.search(r"\$[a-z_{]", expr), f"{self.where}: {expr}"
        return Asked(self.where, expr)


def boards() -> dict[str, Any]:
    """The dashboards by uid, as Grafana reads them."""
    found = [json.loads(path.read_text()) for path in sorted((ROOT / "infra/grafana/json").glob("*.json"))]
    return {board["uid"]: board for board in found}


def panels(board: Any) -> list[Any]:
    """Those that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def panel_queries(kind: str) -> list[Asked]:
    """What panels ask of data sources of a kind: `prometheus` (PromQL) or `tempo` (TraceQL)."""
    return [
        Asked(f"{uid}: {panel['title']}", target["expr" if kind == "prometheus" else "query"])
        for uid, board in boards().items()
        for panel in panels(board)
        if panel["datasource"]["type"] == kind
        for target in panel["targets"]
    ]


def alerts() -> list[Any]:
    """The alerts, in order."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def alert_values() -> list[Asked]:
    """What alerts look at, whether it is too much or not."""
    found = []
    for alert in alerts():
        parts = _ALERT.fullmatch(alert["expr"].strip())
        assert parts, f"{alert['alert']} is not `value > number`"
        found.append(Asked(alert["alert"], parts["value"]))
    return found


def guide_queries() -> list[tuple[Asked, list[str]]]:
    """What the guide asks, and the lines that it shows as the answer; `...` is anything."""
    return [
        (Asked(f"guide, query {number}", query), answer.splitlines())
        for number, (query, answer) in enumerate(_GUIDE_QUERY.findall(GUIDE.read_text()), start=1)
    ]


def choices(variable: Any, series: list[tuple[dict[str, str], float]]) -> dict[str, str]:
    """The values of a variable by the texts that stand for them, from what its query found."""
    pattern = re.compile(variable["regex"].removeprefix("/").removesuffix("/g").replace("(?<", "(?P<"))
    return dict(_choice(pattern, labels) for labels, _ in series)


def variables() -> Iterator[tuple[Any, Asked]]:
    """Variables that are asked for, each with its query."""
    for uid, board in boards().items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                asked = variable["query"]["query"]
                yield variable, Asked(f"{uid}: ${variable['name']}", asked[len("query_result(") : -1])


def shown(labels: Mapping[str, str]) -> str:
    """A series as Prometheus writes it."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


def _choice(pattern: re.Pattern[str], labels: Mapping[str, str]) -> tuple[str, str]:
    """As Grafana reads a line of a result."""
    found: dict[str, str] = {}
    for match in pattern.finditer(shown(labels)):
        found |= {name: value for name, value in match.groupdict().items() if value is not None}
    return found["text"], found["value"]
