"""The audit log: who did what, newest first."""

from typing import Any, Final

from litestar import Response

from agentflow_api.console.pages import OPERATOR, Page, shown

_PAGE: Final = 50


@shown("/console/audit", OPERATOR)
async def audit(page: Page) -> Response[str]:
    """Of every tenant, or of one."""
    wanted = {"tenant": page.query.get("tenant", "").strip()}
    found = await page.api.get("/v1/admin/audit", limit=_PAGE, cursor=page.query.get("cursor"), **wanted)
    return page.show(
        "operator/audit.html",
        entries=found["entries"],
        next_cursor=found["next_cursor"],
        wanted={name: value for name, value in wanted.items() if value},
    )


AUDIT_PAGES: Final[list[Any]] = [audit]
