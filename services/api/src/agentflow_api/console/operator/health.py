"""How the service is: what works in a lesser way, what waits, and what to do about what was found."""

from typing import Any, Final

from litestar import Response

from agentflow_api.console.pages import OPERATOR, Page, shown


@shown("/console/health", OPERATOR)
async def health(page: Page) -> Response[str]:
    """The whole page."""
    return page.show("operator/health.html", health=await page.api.get("/v1/admin/health"))


@shown("/console/health/part", OPERATOR)
async def health_part(page: Page) -> Response[str]:
    """What of it changes."""
    return page.part("operator/health_part.html", health=await page.api.get("/v1/admin/health"))


HEALTH_PAGES: Final[list[Any]] = [health, health_part]
