"""All of a tenant's pages."""

from typing import Any, Final

from litestar import Response

from agentflow_api.console.pages import TENANT, Page, shown


@shown("/console/home", TENANT)
async def home(page: Page) -> Response[str]:
    """What a tenant sees first."""
    return page.show("tenant/home.html", threads=(await page.api.get("/v1/threads"))["threads"])


TENANTS_PAGES: Final[list[Any]] = [home]
