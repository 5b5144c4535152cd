"""All of the operator's pages."""

from typing import Any, Final

from litestar import Response

from agentflow_api.console.pages import OPERATOR, Page, shown


@shown("/console/tenants", OPERATOR)
async def tenants(page: Page) -> Response[str]:
    """Every tenant."""
    return page.show("operator/tenants.html", found=await page.api.get("/v1/admin/tenants", **page.query))


OPERATORS_PAGES: Final[list[Any]] = [tenants]
