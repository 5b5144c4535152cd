"""The first page: is the service well, and if not, which tenant and which route is it."""

from grafana_foundation_sdk.builders import dashboard

from infra.grafana import queries as q
from infra.grafana.page import page
from infra.grafana.panels import HALF, Column, Line, by_tenant, graph, grid, number, traces

REQUESTS = q.calls(q.SERVER)
BY_TENANT = q.calls(q.SERVER, q.OF_TENANTS, by=q.TENANT)
FAILED_BY_TENANT = q.calls(q.SERVER, q.FAILED, q.OF_TENANTS, by=q.TENANT)
P95_BY_TENANT = q.quantile(0.95, q.SERVER, q.OF_TENANTS, by=q.TENANT)
SHARE_OF_TIME = q.share_of_all(q.busy(q.SERVER, q.OF_TENANTS, by=q.TENANT), q.busy(q.SERVER))


def operator_overview() -> dashboard.Dashboard:
    """Health, tenants, routes, and the traces worth a look."""
    board = page(
        "agentflow-overview",
        "AgentFlow: operator overview",
        "Start here. docs/guide/29-dashboards.md leads on.",
    )
    return traces_row(routes(tenants(health(board))))


def health(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """A number for each question that is asked first."""
    return (
        board.with_row(dashboard.Row("Now"))
        .with_panel(number("Requests", "A second, of all tenants.", REQUESTS, "reqps"))
        .with_panel(
            number(
                "Failed",
                "Share of requests that the service could not answer (5xx).",
                q.ratio(q.calls(q.SERVER, q.FAILED), REQUESTS),
                "percentunit",
                warn=0.01,
            )
        )
        .with_panel(
            number(
                "p95", "95 % of requests took less, of all routes together.", q.quantile(0.95, q.SERVER), "s"
            )
        )
        .with_panel(
            number(
                "Degraded",
                "Modes in which something is away and answers come without it; see Reliability.",
                "sum(max by (mode) (agentflow_degraded))",
                "none",
                warn=1,
            )
        )
        .with_panel(
            number(
                "Oldest run waiting",
                "Background runs wait for a worker.",
                q.latest("agentflow_run_queue_age_seconds"),
                "s",
                warn=60,
            )
        )
        .with_panel(
            number(
                "Alerts firing",
                "Each has a page in docs/runbooks.",
                'count(ALERTS{alertstate="firing"}) or vector(0)',
                "none",
                warn=1,
            )
        )
    )


def tenants(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Who asks, who waits, who is in whose way."""
    return (
        board.with_row(dashboard.Row("Tenants"))
        .with_panel(
            grid(
                "Tenants",
                "The busiest by name, all others as __other__. A click leads to the tenant's page.",
                "slug",
                [
                    Column("requests/s", q.named(BY_TENANT), "reqps"),
                    Column("failed", q.named(q.ratio(FAILED_BY_TENANT, BY_TENANT)), "percentunit"),
                    Column("p95", q.named(P95_BY_TENANT), "s"),
                    Column("server time", q.named(SHARE_OF_TIME), "percentunit"),
                ],
                tenant_links=True,
            )
        )
        .with_panel(
            by_tenant(
                "Requests per tenant",
                "The ten that ask most.",
                BY_TENANT,
                "reqps",
            )
        )
        .with_panel(
            by_tenant(
                "Error ratio per tenant",
                "Share of a tenant's requests that failed with 5xx.",
                q.ratio(FAILED_BY_TENANT, BY_TENANT),
                "percentunit",
            )
        )
        .with_panel(
            by_tenant(
                "Noisy neighbours",
                "Share of all time that requests took, by tenant. One far above the others is in their way.",
                SHARE_OF_TIME,
                "percentunit",
                stacked=True,
            )
        )
        .with_panel(
            by_tenant(
                "p95 per tenant",
                "95 % of a tenant's requests took less. The busiest twenty are told apart.",
                P95_BY_TENANT,
                "s",
                exemplars=True,
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Quota rejections by tenant and quota",
                "Requests turned away a second, since a limit was reached.",
                [
                    Line(
                        q.named(
                            q.calls(
                                q.QUOTA,
                                'agentflow_quota_decision="rejected"',
                                by=f"{q.TENANT}, agentflow_quota_name",
                            )
                        ),
                        "{{slug}} {{agentflow_quota_name}}",
                    )
                ],
                "reqps",
                width=HALF,
                tenant_links=True,
            )
        )
    )


def routes(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Which route it is."""
    by = "http_route"
    return (
        board.with_row(dashboard.Row("Routes"))
        .with_panel(
            grid(
                "Routes",
                "What each route does, and how long it takes.",
                "http_route",
                [
                    Column("requests/s", q.calls(q.SERVER, by=by), "reqps"),
                    Column(
                        "failed",
                        q.ratio(q.calls(q.SERVER, q.FAILED, by=by), q.calls(q.SERVER, by=by)),
                        "percentunit",
                    ),
                    Column("p50", q.quantile(0.5, q.SERVER, by=by), "s"),
                    Column("p95", q.quantile(0.95, q.SERVER, by=by), "s"),
                    Column("p99", q.quantile(0.99, q.SERVER, by=by), "s"),
                ],
            )
        )
        .with_panel(
            graph(
                "p95 by route",
                "The ten slowest. Dots are single traces; a click opens one.",
                [Line(f"topk(10, {q.quantile(0.95, q.SERVER, by=by)})", "{{http_route}}", exemplars=True)],
                "s",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Answers by status",
                "A second.",
                [Line(q.calls(q.SERVER, by="http_response_status_code"), "{{http_response_status_code}}")],
                "reqps",
                stacked=True,
                width=HALF,
            )
        )
    )


def traces_row(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """From numbers to single requests."""
    return (
        board.with_row(dashboard.Row("Traces"))
        .with_panel(
            traces(
                "Slow threads",
                "Runs that took more than two seconds; a conversation is a digest of a thread's id.",
                '{ name =~ "invoke_agent.*" && duration > 2s } '
                "| select(span.gen_ai.conversation.id, span.gen_ai.agent.name, span.agentflow.tenant.id)",
            )
        )
        .with_panel(
            traces(
                "Failed requests",
                "All of them are kept.",
                "{ kind = server && status = error } "
                "| select(span.http.route, span.http.response.status_code, span.agentflow.tenant.id, "
                "span.error.type)",
            )
        )
    )
