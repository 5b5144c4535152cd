"""What all dashboards have in common: variables, links to each other, and how they are written."""

import json

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from infra.grafana.panels import METRICS
from infra.grafana.queries import TENANTS

TAG = "agentflow"


def page(uid: str, title: str, description: str) -> dashboard.Dashboard:
    """An empty dashboard, to be filled row by row."""
    others = (
        dashboard.DashboardLink("AgentFlow")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(as_dropdown=False)
        .keep_time(keep_time=True)
    )
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(others)
        .with_variable(dashboard.DatasourceVariable("metrics").label("Metrics").type("prometheus"))
        .with_variable(dashboard.DatasourceVariable("traces").label("Traces").type("tempo"))
    )


def tenant_choice() -> dashboard.QueryVariable:
    """The tenants that metrics name: shown by their slugs, put into queries by their ids."""
    return (
        dashboard.QueryVariable("tenant")
        .label("Tenant")
        .datasource(METRICS)
        .query({"query": f"query_result({TENANTS})", "refId": "A"})
        .regex('/slug="(?<text>[^"]+)|agentflow_tenant_id="(?<value>[^"]+)/g')
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def written(dashboard_: dashboard.Dashboard) -> str:
    """As the file that Grafana reads; ids go by the order of panels, so that a page is always the same."""
    built = dashboard_.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
