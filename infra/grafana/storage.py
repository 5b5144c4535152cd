"""Checkpoints, the cache, partitions, and what is kept."""

from grafana_foundation_sdk.builders import dashboard

from infra.grafana import queries as q
from infra.grafana.page import page
from infra.grafana.panels import HALF, Column, Line, by_tenant, graph, grid, number
from infra.grafana.tenant import CHECKPOINT_LIMIT_S

SHARES = (0.5, 0.95, 0.99)
FROM_CACHE = 'agentflow_cache_result="hit"'
ASKED_CACHE = 'agentflow_cache_result=~"hit|miss|stale"'


def storage() -> dashboard.Dashboard:
    """How fast, how much, where, and for how long."""
    board = page(
        "agentflow-storage", "AgentFlow: storage and partitions", "What is kept, where, and how fast it is."
    )
    return forgotten(moves(growth(checkpoints(board))))


def checkpoints(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """How long reads and writes take, with the line above which to scale up."""
    board.with_row(dashboard.Row("Checkpoints"))
    for title, span in (("Checkpoint writes", q.WRITE), ("Checkpoint reads", q.READ)):
        board.with_panel(
            graph(
                title,
                "Half, 95 % and 99 % took less. Scale up when writes are above the line: docs/sizing.",
                [
                    Line(q.quantile(share, span), f"p{share * 100:.0f}", exemplars=share == 0.95)
                    for share in SHARES
                ],
                "s",
                limit=CHECKPOINT_LIMIT_S,
            )
        )
    return (
        board.with_panel(
            graph(
                "Cache hit ratio",
                "Share of starts of runs that found their state in Redis, by where the tenant's rows live.",
                [
                    Line(
                        q.ratio(
                            q.calls(q.READ, FROM_CACHE, by="agentflow_placement"),
                            q.calls(q.READ, ASKED_CACHE, by="agentflow_placement"),
                        ),
                        "{{agentflow_placement}}",
                    )
                ],
                "percentunit",
            )
        )
        .with_panel(
            graph(
                "Writes p95 by placement",
                "Tenants of the pool share partitions, dedicated ones have their own.",
                [Line(q.quantile(0.95, q.WRITE, by="agentflow_placement"), "{{agentflow_placement}}")],
                "s",
                limit=CHECKPOINT_LIMIT_S,
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Statements",
                "95 % of the database's answers took less, by what was asked: of traces that are exported.",
                [Line(f"topk(10, {q.quantile(0.95, q.CLIENT, by='span_name')})", "{{span_name}}")],
                "s",
                width=HALF,
            )
        )
    )


def growth(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """How much there is, and will be."""
    everything = f"sum({q.latest('agentflow_partition_bytes', by='placement')})"
    in_a_month = "sum(max by (placement) (predict_linear(agentflow_partition_bytes[1d], 30 * 86400)))"
    return (
        board.with_row(dashboard.Row("Growth"))
        .with_panel(number("Kept", "In all partitions.", everything, "bytes"))
        .with_panel(number("In 30 days", "When the last day goes on.", in_a_month, "bytes"))
        .with_panel(
            number(
                "Stored spans",
                "What runs did, for /v1/observability.",
                q.latest("agentflow_stored_spans_bytes"),
                "bytes",
            )
        )
        .with_panel(
            graph(
                "Storage and its forecast",
                "Bytes of all partitions, and what they come to in 30 days when the last day goes on.",
                [Line(everything, "now"), Line(in_a_month, "in 30 days")],
                "bytes",
                width=HALF,
            )
        )
        .with_panel(
            grid(
                "Largest tenants",
                "The tenants with the most bytes, by name when metrics name them.",
                "slug",
                [
                    Column(
                        "bytes",
                        q.named(f"topk(20, {q.latest('agentflow_tenant_bytes', by=q.TENANT)})"),
                        "bytes",
                    ),
                    Column("threads", q.named(q.latest("agentflow_tenant_threads", by=q.TENANT)), "short"),
                ],
                width=HALF,
                tenant_links=True,
            )
        )
        .with_panel(
            by_tenant(
                "Largest tenants over time",
                "Bytes in the database.",
                q.latest("agentflow_tenant_bytes", by=q.TENANT),
                "bytes",
                stacked=True,
                width=HALF,
            )
        )
    )


def moves(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Where rows live, and tenants on their way."""
    return (
        board.with_row(dashboard.Row("Partitions and moves"))
        .with_panel(
            graph(
                "Bytes by placement",
                "The ten largest. Placements below 1000 are the pool's, the others have one tenant each.",
                [Line(f"topk(10, {q.latest('agentflow_partition_bytes', by='placement')})", "{{placement}}")],
                "bytes",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Rows by placement",
                "As the planner estimates them.",
                [Line(f"topk(10, {q.latest('agentflow_partition_rows', by='placement')})", "{{placement}}")],
                "short",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Moves",
                "To a partition of their own, or back: open ones, and those that ended within a day.",
                [
                    Line(
                        q.latest("agentflow_operations", 'kind=~"promote|demote|move"', by="kind, state"),
                        "{{kind}} {{state}}",
                    )
                ],
                "none",
            )
        )
    )


def forgotten(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What retention does."""
    return (
        board.with_row(dashboard.Row("Retention"))
        .with_panel(
            graph(
                "Deleted as due",
                "Threads and versions a second.",
                [
                    Line(q.rate("agentflow_retention_deleted_threads_total"), "threads"),
                    Line(q.rate("agentflow_retention_deleted_versions_total"), "versions"),
                    Line(q.rate("agentflow_retention_pruned_threads_total"), "threads pruned"),
                    Line(q.rate("agentflow_retention_kept_threads_total"), "due, but in use"),
                ],
                "ops",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Length of a sweep",
                "How long the latest whole sweep took.",
                [Line(q.latest("agentflow_retention_sweep_duration_seconds"), "sweep")],
                "s",
                width=HALF,
            )
        )
    )
