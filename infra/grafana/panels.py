"""The few kinds of panels that the dashboards are made of, so that all look and link alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, tempo, timeseries
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from infra.grafana import queries as q

METRICS: Final = models.DataSourceRef("prometheus", "${metrics}")
TRACES: Final = models.DataSourceRef("tempo", "${traces}")

# Widths, of 24 columns.
THIRD, HALF, FULL = 8, 12, 24

TENANT_PAGE: Final = "/d/agentflow-tenant?${__url_time_range}&var-tenant="


@dataclass(frozen=True, slots=True)
class Line:
    """One query of a panel.

    Attributes:
        expr: PromQL.
        legend: Name of its series, with labels as `{{label}}`.
        exemplars: Whether single traces are shown as dots that lead to them.
    """

    expr: str
    legend: str
    exemplars: bool = False


def number(
    title: str, description: str, expr: str, unit: str, *, warn: float | None = None, width: int = 4
) -> stat.Panel:
    """One number, red from `warn` on."""
    steps = [models.Threshold(None, "green")]
    if warn is not None:
        steps.append(models.Threshold(warn, "red"))
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .unit(unit)
        .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .graph_mode(looks.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .height(4)
        .span(width)
        .with_target(prometheus.Dataquery().expr(expr).legend_format(title).range().ref_id("A"))
    )


def graph(
    title: str,
    description: str,
    lines: Sequence[Line],
    unit: str,
    *,
    limit: float | None = None,
    stacked: bool = False,
    width: int = THIRD,
    tenant_links: bool = False,
) -> timeseries.Panel:
    """Lines over time.

    Args:
        title: Of the panel.
        description: What it says, shown at its corner.
        lines: Its queries.
        unit: Grafana's name of the unit.
        limit: A dashed line at what should not be passed.
        stacked: Whether the series add up.
        width: Of 24 columns.
        tenant_links: Whether a click leads to the tenant of the series (label `agentflow_tenant_id`).
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .unit(unit)
        .min(0)
        .fill_opacity(20 if stacked else 5)
        .show_points(looks.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI))
        .legend(
            common.VizLegendOptions()
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .height(8)
        .span(width)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if limit is not None:
        steps = [models.Threshold(None, "green"), models.Threshold(limit, "red")]
        panel.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        )
    if tenant_links:
        panel.data_links([_link(TENANT_PAGE + "${__field.labels.agentflow_tenant_id}")])
    for ref_id, line in zip("ABCDEFGH", lines, strict=False):
        panel.with_target(
            prometheus.Dataquery()
            .expr(line.expr)
            .legend_format(line.legend)
            .exemplar(line.exemplars)
            .range()
            .ref_id(ref_id)
        )
    return panel


def by_tenant(
    title: str,
    description: str,
    expr: str,
    unit: str,
    *,
    legend: str = "{{slug}}",
    exemplars: bool = False,
    stacked: bool = False,
    width: int = THIRD,
) -> timeseries.Panel:
    """The ten largest series of a query by tenant, under their slugs; a click leads to the tenant's page."""
    line = Line(f"topk(10, {q.named(expr)})", legend, exemplars=exemplars)
    return graph(title, description, [line], unit, stacked=stacked, width=width, tenant_links=True)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers: its head, its query, and the unit."""

    head: str
    expr: str
    unit: str


def grid(
    title: str,
    description: str,
    key: str,
    columns: Sequence[Column],
    *,
    width: int = FULL,
    tenant_links: bool = False,
) -> table.Panel:
    """A table of what is true now: a row for each value of the label `key`, a column for each query.

    With `tenant_links`, all queries keep `agentflow_tenant_id`, and the key leads to that tenant.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .height(9)
        .span(width)
        .with_transformation(models.DataTransformerConfig("merge", options={}))
    )
    names = {}
    for ref_id, column in zip("ABCDEFGHIJ", columns, strict=False):
        panel.with_target(
            prometheus.Dataquery().expr(column.expr).format(PromQueryFormat.TABLE).instant().ref_id(ref_id)
        )
        panel.override_by_name(column.head, [models.DynamicConfigValue("unit", column.unit)])
        names[f"Value #{ref_id}"] = column.head
    if tenant_links:
        link = _link(TENANT_PAGE + "${__data.fields.agentflow_tenant_id}").build()
        panel.override_by_name(key, [models.DynamicConfigValue("links", [link])])
        hidden = models.DynamicConfigValue("custom.hidden", value=True)
        panel.override_by_name("agentflow_tenant_id", [hidden])
    shape = {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": {key: 0}}
    panel.with_transformation(models.DataTransformerConfig("organize", options=shape))
    return panel.sort_by([common.TableSortByFieldState().display_name(columns[0].head).desc(desc=True)])


def traces(title: str, description: str, query: str, *, width: int = HALF, limit: int = 20) -> table.Panel:
    """What a search of the kept traces finds; its rows lead to them."""
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(TRACES)
        .height(9)
        .span(width)
        .with_target(
            tempo.TempoQuery()
            .query_type("traceql")
            .query(query)
            .limit(limit)
            .table_type(SearchTableType.SPANS)
            .ref_id("A")
        )
    )


def _link(url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink("Tenant").url(url)
