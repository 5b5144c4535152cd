"""All dashboards, by the name of the file."""

from pathlib import Path
from typing import Final

from infra.grafana.agents import agents
from infra.grafana.operator_overview import operator_overview
from infra.grafana.page import written
from infra.grafana.reliability import reliability
from infra.grafana.storage import storage
from infra.grafana.tenant import tenant

FOLDER: Final = Path(__file__).parent / "json"


def dashboards() -> dict[str, str]:
    """What `python -m infra.grafana` writes to `json/`."""
    boards = (operator_overview(), tenant(), storage(), agents(), reliability())
    return {f"{board.build().uid}.json": written(board) for board in boards}
