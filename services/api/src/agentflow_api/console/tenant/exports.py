"""`/console/exports`: start an export, watch it, download it."""

from typing import Final

from litestar import Response

from agentflow_api.console import forms
from agentflow_api.console.pages import TENANT, Page, at, done, shown
from agentflow_api.console.tenant.showing import part, show

_PAGE: Final = 20
_ONE: Final = "/console/exports/{export_id:str}"
_LINK_S: Final = 300
_NAMED: Final = {"thread": "thread_id", "user": "user_id"}


@shown("/console/exports", TENANT)
async def list_exports(page: Page) -> Response[str]:
    """The exports, newest first."""
    found = await page.api.get("/v1/exports", limit=_PAGE, cursor=page.query.get("cursor", ""))
    return show(page, "tenant/exports/list.html", exports=found["exports"], following=found["next_cursor"])


@shown(f"{_ONE}/part", TENANT)
async def show_export_part(page: Page, export_id: str) -> Response[str]:
    """One export as it stands."""
    one = await page.api.get(at("/v1/exports", export_id))
    return part(page, "tenant/exports/part.html", one=one)


@done("/console/exports", TENANT, form=list_exports)
async def start_export(page: Page) -> Response[str]:
    """Have threads exported: all, one, or a user's."""
    named = _NAMED.get(forms.text(page.form, "what"))
    asked = {} if named is None else {named: forms.text(page.form, "of")}
    await page.api.send("POST", "/v1/exports", asked, key=forms.text(page.form, "repeat"))
    return page.go("/console/exports", "The export is on its way.")


@done(f"{_ONE}/download", TENANT)
async def download(page: Page, export_id: str) -> Response[str]:
    """Go to where the archive is, by a link that is good for some minutes."""
    link = await page.api.send("POST", at("/v1/exports", export_id, "link"), {"expires_in_s": _LINK_S})
    return page.go(link["url"])


@done(f"{_ONE}/end", TENANT)
async def end_export(page: Page, export_id: str) -> Response[str]:
    """Cancel an export that is under way, or delete the file of one that is done."""
    await page.api.send("DELETE", at("/v1/exports", export_id))
    return page.go("/console/exports", "Ended.")


EXPORTS_PAGES = [list_exports, show_export_part, start_export, download, end_export]
