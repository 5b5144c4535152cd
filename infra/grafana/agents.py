"""Agents, their tools and models, and what those cost."""

from grafana_foundation_sdk.builders import dashboard

from infra.grafana import queries as q
from infra.grafana.page import page
from infra.grafana.panels import FULL, HALF, Column, Line, by_tenant, graph, grid, number, traces

AGENT = "gen_ai_agent_name"
MODEL = "gen_ai_request_model"
TOOL = "gen_ai_tool_name"
COST = "agentflow_cost_usd_total"
TOKENS = "agentflow_tokens_total"
AN_HOUR = 3600


def agents() -> dashboard.Dashboard:
    """Runs, then models and their cost, then tools, then single traces."""
    board = page("agentflow-agents", "AgentFlow: agents and cost", "What agents do, and what it costs.")
    return traces_row(tools(models(runs(board))))


def runs(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Runs by agent."""
    all_runs = q.calls(q.RUN, by=AGENT)
    return (
        board.with_row(dashboard.Row("Runs"))
        .with_panel(
            grid(
                "Agents",
                "What each agent does, and how long it takes.",
                AGENT,
                [
                    Column("runs/s", all_runs, "ops"),
                    Column("failed", q.ratio(q.calls(q.RUN, q.FAILED, by=AGENT), all_runs), "percentunit"),
                    Column("p50", q.quantile(0.5, q.RUN, by=AGENT), "s"),
                    Column("p95", q.quantile(0.95, q.RUN, by=AGENT), "s"),
                    Column("p99", q.quantile(0.99, q.RUN, by=AGENT), "s"),
                ],
            )
        )
        .with_panel(
            graph(
                "Runs by agent",
                "A second.",
                [Line(all_runs, "{{gen_ai_agent_name}}")],
                "ops",
                stacked=True,
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "p95 by agent",
                "95 % of its runs took less.",
                [Line(q.quantile(0.95, q.RUN, by=AGENT), "{{gen_ai_agent_name}}", exemplars=True)],
                "s",
                width=HALF,
            )
        )
    )


def models(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Models: how much, how fast, how dear."""
    by = f"{q.TENANT}, {MODEL}"
    return (
        board.with_row(dashboard.Row("Models and cost"))
        .with_panel(
            number(
                "Cost an hour",
                "US dollars, by the operator's prices (AGENTFLOW_MODEL_PRICES).",
                f"{q.rate(COST)} * {AN_HOUR}",
                "currencyUSD",
            )
        )
        .with_panel(number("Tokens", "A second, in and out.", q.rate(TOKENS), "short"))
        .with_panel(number("Model calls", "A second.", q.calls(q.MODEL_CALL), "ops"))
        .with_panel(
            by_tenant(
                "Cost by tenant and model",
                "US dollars an hour.",
                f"{q.rate(COST, by=by)} * {AN_HOUR}",
                "currencyUSD",
                legend="{{slug}} {{gen_ai_request_model}}",
                stacked=True,
                width=HALF,
            )
        )
        .with_panel(
            by_tenant(
                "Tokens by tenant and model",
                "A second, in and out together.",
                q.rate(TOKENS, by=by),
                "short",
                legend="{{slug}} {{gen_ai_request_model}}",
                stacked=True,
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "How long models take",
                "Half and 95 % of the calls took less.",
                [
                    Line(
                        q.quantile(share, q.MODEL_CALL, by=MODEL),
                        f"{{{{gen_ai_request_model}}}} p{share * 100:.0f}",
                    )
                    for share in (0.5, 0.95)
                ],
                "s",
                width=HALF,
            )
        )
        .with_panel(
            graph(
                "Model errors",
                "Share of calls that failed, by model.",
                [
                    Line(
                        q.ratio(q.calls(q.MODEL_CALL, q.FAILED, by=MODEL), q.calls(q.MODEL_CALL, by=MODEL)),
                        "{{gen_ai_request_model}}",
                    )
                ],
                "percentunit",
                width=HALF,
            )
        )
    )


def tools(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Tools: how often, how fast, and whether they work."""
    return (
        board.with_row(dashboard.Row("Tools"))
        .with_panel(
            graph(
                "Tool calls",
                "A second.",
                [Line(q.calls(q.TOOL_CALL, by=TOOL), "{{gen_ai_tool_name}}")],
                "ops",
            )
        )
        .with_panel(
            graph(
                "Tool errors",
                "Share of calls that failed, by tool.",
                [
                    Line(
                        q.ratio(q.calls(q.TOOL_CALL, q.FAILED, by=TOOL), q.calls(q.TOOL_CALL, by=TOOL)),
                        "{{gen_ai_tool_name}}",
                    )
                ],
                "percentunit",
            )
        )
        .with_panel(
            graph(
                "How long tools take",
                "95 % of the calls took less.",
                [Line(q.quantile(0.95, q.TOOL_CALL, by=TOOL), "{{gen_ai_tool_name}}")],
                "s",
            )
        )
    )


def traces_row(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Single runs."""
    return board.with_row(dashboard.Row("Traces")).with_panel(
        traces(
            "Slow threads",
            "Runs that took more than two seconds, with the tokens that models reported.",
            '{ name =~ "invoke_agent.*" && duration > 2s } | select(span.gen_ai.conversation.id, '
            "span.gen_ai.agent.name, span.agentflow.tenant.id, span.gen_ai.usage.output_tokens)",
            width=FULL,
        )
    )
