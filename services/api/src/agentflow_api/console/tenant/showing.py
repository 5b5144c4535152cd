"""What every page of a tenant is shown with, and what several of them ask first."""

from typing import Any

from litestar import Response

from agentflow_api.console.charts.units import short_count, short_ms
from agentflow_api.console.pages import Page
from agentflow_api.console.tenant.addresses import chat_address, thread_address
from agentflow_tenancy import GRAPH_INVOKE


def show(page: Page, template: str, **values: Any) -> Response[str]:
    """A whole page."""
    return page.show(template, **_common(), **values)


def part(page: Page, template: str, **values: Any) -> Response[str]:
    """What takes the place of a part of an open page."""
    return page.part(template, **_common(), **values)


async def agents_of(page: Page, wanted: str = "") -> tuple[list[str], str]:
    """The agents to choose from, and the chosen or default one; none for a key that may not run any."""
    if not page.may(GRAPH_INVOKE):
        return [], ""
    told = await page.api.get("/v1/graph/agents")
    agents: list[str] = told["agents"]
    return agents, wanted if wanted in agents else told["default_agent"]


def _common() -> dict[str, Any]:
    return {
        "thread_address": thread_address,
        "chat_address": chat_address,
        "short_ms": short_ms,
        "short_count": short_count,
    }
