"""`/console/keys`: make, rotate and end keys. A new one is on the page that answers, and never later."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from litestar import Response

from agentflow_api.console import forms
from agentflow_api.console.pages import TENANT, Page, at, done, shown
from agentflow_api.console.tenant.showing import show
from agentflow_tenancy import (
    GRAPH_INVOKE,
    KEYS_ADMIN,
    TENANT_ADMIN,
    THREADS_READ,
    THREADS_WRITE,
    USAGE_READ,
)

SCOPE_WORDS: Final = {
    THREADS_READ: "read threads",
    THREADS_WRITE: "change and delete threads",
    GRAPH_INVOKE: "run agents",
    USAGE_READ: "read usage",
    KEYS_ADMIN: "make and end keys",
    TENANT_ADMIN: "export, import and offboard",
}
_PAGE: Final = 50


@shown("/console/keys", TENANT)
async def list_keys(page: Page) -> Response[str]:
    """The keys, without their secrets."""
    return await _shown(page)


@done("/console/keys", TENANT, form=list_keys)
async def create_key(page: Page) -> Response[str]:
    """A new key. Sent twice, by a reload, it is the same one."""
    name = forms.text(page.form, "name")
    scopes = [scope for scope in SCOPE_WORDS if f"scope {scope}" in page.form]
    asked: dict[str, Any] = {"name": name, "scopes": scopes}
    if forms.text(page.form, "days"):
        # The end of a day and not of this moment: a reload asks for the same.
        ends = datetime.now(UTC).replace(hour=23, minute=59, second=59, microsecond=0)
        asked["expires_at"] = (ends + timedelta(days=forms.number(page.form, "days"))).isoformat()
    made = await page.api.send("POST", "/v1/keys", asked, key=forms.text(page.form, "repeat"))
    return await _shown(page, {"title": f"Your new key “{name}”", "api_key": made["api_key"]})


@done("/console/keys/{key_id:str}/rotate", TENANT, form=list_keys)
async def rotate_key(page: Page, key_id: str) -> Response[str]:
    """A new key in place of one, which ends a while later."""
    asked = {"overlap_s": forms.number(page.form, "overlap_s")}
    repeat = forms.text(page.form, "repeat")
    made = await page.api.send("POST", at("/v1/keys", key_id, "rotate"), asked, key=repeat)
    return await _shown(page, {"title": "Your new key", "api_key": made["api_key"]})


@done("/console/keys/{key_id:str}/revoke", TENANT)
async def revoke_key(page: Page, key_id: str) -> Response[str]:
    """End a key for good."""
    await page.api.send("DELETE", at("/v1/keys", key_id))
    return page.go("/console/keys", "Revoked: it opens nothing any more.")


async def _shown(page: Page, made: dict[str, str] | None = None) -> Response[str]:
    found = await page.api.get("/v1/keys", limit=_PAGE, cursor=page.query.get("cursor", ""))
    return show(
        page,
        "tenant/keys/list.html",
        keys=found["keys"],
        following=found["next_cursor"],
        made=made,
        scopes=[(scope, words) for scope, words in SCOPE_WORDS.items() if page.may(scope)],
    )


KEYS_PAGES = [list_keys, create_key, rotate_key, revoke_key]
