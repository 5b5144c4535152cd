"""One tenant: what it asks for, what it gets, what it keeps, what it costs."""

from grafana_foundation_sdk.builders import dashboard

from infra.grafana import queries as q
from infra.grafana.page import page, tenant_choice
from infra.grafana.panels import HALF, Line, graph, number, traces

THIS = f'{q.TENANT}="$tenant"'
REQUESTS = q.calls(q.SERVER, THIS)

# Above it, it is time to scale up (docs/sizing).
CHECKPOINT_LIMIT_S = 0.05


def tenant() -> dashboard.Dashboard:
    """The page that names of tenants lead to."""
    board = page("agentflow-tenant", "AgentFlow: tenant", "One tenant, chosen above.").with_variable(
        tenant_choice()
    )
    return traces_row(kept(runs(requests(now(board)))))


def now(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Its numbers."""
    return (
        board.with_row(dashboard.Row("Now"))
        .with_panel(number("Requests", "A second.", REQUESTS, "reqps"))
        .with_panel(
            number(
                "Failed",
                "Share of its requests that failed with 5xx.",
                q.ratio(q.calls(q.SERVER, q.FAILED, THIS), REQUESTS),
                "percentunit",
                warn=0.01,
            )
        )
        .with_panel(number("p95", "95 % of its requests took less.", q.quantile(0.95, q.SERVER, THIS), "s"))
        .with_panel(
            number(
                "Share of server time",
                "Of all that requests took together.",
                q.share_of_all(q.busy(q.SERVER, THIS), q.busy(q.SERVER)),
                "percentunit",
                warn=0.5,
            )
        )
        .with_panel(number("Kept", "In the database.", q.latest("agentflow_tenant_bytes", THIS), "bytes"))
        .with_panel(
            number("Threads", "In the database.", q.latest("agentflow_tenant_threads", THIS), "short")
        )
    )


def requests(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What it asks for and what it gets."""
    return (
        board.with_row(dashboard.Row("Requests"))
        .with_panel(
            graph(
                "Requests by route",
                "A second.",
                [Line(q.calls(q.SERVER, THIS, by="http_route"), "{{http_route}}")],
                "reqps",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "p95 by route",
                "Dots are single traces.",
                [Line(q.quantile(0.95, q.SERVER, THIS, by="http_route"), "{{http_route}}", exemplars=True)],
                "s",
            )
        )
        .with_panel(
            graph(
                "Answers by status",
                "A second; 429 is a quota, 409 a busy thread.",
                [
                    Line(
                        q.calls(q.SERVER, THIS, by="http_response_status_code"),
                        "{{http_response_status_code}}",
                    )
                ],
                "reqps",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Quotas",
                "Requests weighed against each quota, and what was decided.",
                [
                    Line(
                        q.calls(q.QUOTA, THIS, by="agentflow_quota_name, agentflow_quota_decision"),
                        "{{agentflow_quota_name}} {{agentflow_quota_decision}}",
                    )
                ],
                "reqps",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Locks of its threads",
                "How waiting for a thread ended: one thread has one run at a time.",
                [Line(q.calls(q.LOCK, THIS, by="agentflow_lock_outcome"), "{{agentflow_lock_outcome}}")],
                "ops",
                width=HALF,
            )
        )
    )


def runs(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What its agents do."""
    agent = "gen_ai_agent_name"
    return (
        board.with_row(dashboard.Row("Runs"))
        .with_panel(
            graph(
                "Runs by agent",
                "A second.",
                [Line(q.calls(q.RUN, THIS, by=agent), "{{gen_ai_agent_name}}")],
                "ops",
            )
        )
        .with_panel(
            graph(
                "How long runs take",
                "Half, 95 % and 99 % of its runs took less.",
                [Line(q.quantile(share, q.RUN, THIS), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)],
                "s",
            )
        )
        .with_panel(
            graph(
                "Checkpoints",
                "95 % took less. Scale up when writes are above the line: docs/sizing.",
                [
                    Line(q.quantile(0.95, q.WRITE, THIS), "write p95"),
                    Line(q.quantile(0.95, q.READ, THIS), "read p95"),
                ],
                "s",
                limit=CHECKPOINT_LIMIT_S,
            )
        )
        .with_panel(
            graph(
                "Tokens by model",
                "A second, in and out.",
                [
                    Line(
                        q.rate("agentflow_tokens_total", THIS, by="gen_ai_request_model, gen_ai_token_type"),
                        "{{gen_ai_request_model}} {{gen_ai_token_type}}",
                    )
                ],
                "short",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Cost by model",
                "US dollars an hour, by the operator's prices (AGENTFLOW_MODEL_PRICES).",
                [
                    Line(
                        f"{q.rate('agentflow_cost_usd_total', THIS, by='gen_ai_request_model')} * 3600",
                        "{{gen_ai_request_model}}",
                    )
                ],
                "currencyUSD",
                width=HALF,
            )
        )
    )


def kept(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What it keeps."""
    return (
        board.with_row(dashboard.Row("Storage"))
        .with_panel(
            graph(
                "Kept, and in 30 days",
                "Bytes in the database, and what they come to when the last day goes on.",
                [
                    Line(q.latest("agentflow_tenant_bytes", THIS), "now"),
                    Line(
                        f"max (predict_linear(agentflow_tenant_bytes{{{THIS}}}[1d], 30 * 86400))",
                        "in 30 days",
                    ),
                ],
                "bytes",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Cache",
                "Whether starts of runs found their state in Redis; stale is an old one, off is no Redis.",
                [Line(q.calls(q.READ, THIS, by="agentflow_cache_result"), "{{agentflow_cache_result}}")],
                "ops",
                stacked=True,
                width=HALF,
            )
        )
    )


def traces_row(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Its single requests."""
    this = 'span.agentflow.tenant.id = "$tenant"'
    return (
        board.with_row(dashboard.Row("Traces"))
        .with_panel(
            traces(
                "Slow threads",
                "Its runs that took more than two seconds.",
                f'{{ {this} && name =~ "invoke_agent.*" && duration > 2s }} '
                "| select(span.gen_ai.conversation.id, span.gen_ai.agent.name)",
            )
        )
        .with_panel(
            traces(
                "Failed requests",
                "All of them are kept.",
                f"{{ {this} && kind = server && status = error }} "
                "| select(span.http.route, span.http.response.status_code, span.error.type)",
            )
        )
    )
