"""What holds the service up: locks, connections, the queue, operations, and telemetry itself."""

from grafana_foundation_sdk.builders import dashboard

from infra.grafana import queries as q
from infra.grafana.page import page
from infra.grafana.panels import HALF, Line, graph

JOBS = 'job=~"agentflow-.*"'
WORK = 'span_name=~"tenant[.].*"'
SHARES = (0.5, 0.95, 0.99)


def reliability() -> dashboard.Dashboard:
    """Degraded modes first: they explain what follows."""
    board = page(
        "agentflow-reliability", "AgentFlow: reliability", "What the service waits for, and does without."
    )
    return telemetry(operations(waits(degraded(board))))


def degraded(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What is away."""
    return (
        board.with_row(dashboard.Row("Degraded"))
        .with_panel(
            graph(
                "Degraded modes",
                "1 while something is away and answers come without it.",
                [Line("max by (mode) (agentflow_degraded)", "{{mode}}")],
                "none",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Quotas not checked",
                "Requests let through a second, since nobody could count them.",
                [
                    Line(
                        f"{q.calls(q.QUOTA, 'agentflow_quota_decision="unchecked"')} or vector(0)",
                        "unchecked",
                    )
                ],
                "reqps",
                width=HALF,
            )
        )
    )


def waits(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What is waited for."""
    return (
        board.with_row(dashboard.Row("Waits"))
        .with_panel(
            graph(
                "Lock wait",
                "Half, 95 % and 99 % of runs waited less for their thread.",
                [Line(q.quantile(share, q.LOCK), f"p{share * 100:.0f}") for share in SHARES],
                "s",
            )
        )
        .with_panel(
            graph(
                "Lock outcomes",
                "Timeouts and busy threads: clients that run one thread twice. Lost: a Redis that forgot.",
                [Line(q.calls(q.LOCK, by="agentflow_lock_outcome"), "{{agentflow_lock_outcome}}")],
                "ops",
            )
        )
        .with_panel(
            graph(
                "Pool wait",
                "Half, 95 % and 99 % of the waits for a connection to Postgres took less.",
                [
                    Line(q.quantile(share, metric="agentflow_pool_wait_seconds"), f"p{share * 100:.0f}")
                    for share in SHARES
                ],
                "s",
            )
        )
        .with_panel(
            graph(
                "Connections",
                "Of all processes, by state; `limit` is the most.",
                [Line("sum by (state) (agentflow_pool_connections)", "{{state}}")],
                "none",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Statements that failed",
                "Share by what was asked of the database, of traces that are exported.",
                [
                    Line(
                        q.ratio(
                            q.calls(q.CLIENT, q.FAILED, by="span_name"), q.calls(q.CLIENT, by="span_name")
                        ),
                        "{{span_name}}",
                    )
                ],
                "percentunit",
                width=HALF,
            )
        )
    )


def operations(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Background runs, moves, exports and offboardings."""
    return (
        board.with_row(dashboard.Row("Background work"))
        .with_panel(
            graph(
                "Run queue age",
                "How long the oldest background run waits for a worker.",
                [Line(q.latest("agentflow_run_queue_age_seconds"), "oldest")],
                "s",
                limit=60,
            )
        )
        .with_panel(
            graph(
                "Runs",
                "Waiting for a worker, and carried out.",
                [
                    Line(q.latest("agentflow_runs_queued"), "queued"),
                    Line(q.latest("agentflow_runs_active"), "active"),
                ],
                "none",
            )
        )
        .with_panel(
            graph(
                "Offboarding backlog",
                "Tenants and users that are to be forgotten, by state.",
                [
                    Line(
                        q.latest("agentflow_operations", 'kind=~"offboard|forget_user"', by="kind, state"),
                        "{{kind}} {{state}}",
                    )
                ],
                "none",
            )
        )
        .with_panel(
            graph(
                "All operations",
                "Moves, exports and offboardings: open ones, and those that ended within a day.",
                [Line(q.latest("agentflow_operations", by="kind, state"), "{{kind}} {{state}}")],
                "none",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Steps of moves and offboardings",
                "95 % of the steps took less, since the workers started: they are too rare for rates.",
                [
                    Line(
                        f"histogram_quantile(0.95, sum by (le, span_name) ({q.SECONDS}_bucket{{{WORK}}}))",
                        "{{span_name}}",
                    )
                ],
                "s",
                width=HALF,
            )
        )
    )


def telemetry(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Whether these pages can be believed."""
    return (
        board.with_row(dashboard.Row("Telemetry itself"))
        .with_panel(
            graph(
                "Scraped",
                "1 while a part answers Prometheus.",
                [Line(f"up{{{JOBS}}}", "{{job}} {{instance}}")],
                "none",
            )
        )
        .with_panel(
            graph(
                "Lost by telemetry",
                "Spans or labels a second that were given up; counts stay exact while labels are.",
                [Line(q.rate("agentflow_telemetry_dropped_total", by="what"), "{{what}}")],
                "ops",
            )
        )
        .with_panel(
            graph(
                "Cost of a scrape",
                "How long each answer took.",
                [Line(f"scrape_duration_seconds{{{JOBS}}}", "{{job}}")],
                "s",
            )
        )
    )
