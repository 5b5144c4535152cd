"""A tenant's keys, by the operator."""

from typing import Any, Final

from litestar import Response

from agentflow_api.console import forms
from agentflow_api.console.operator.tenants import tenant
from agentflow_api.console.pages import OPERATOR, Page, at, done, link
from agentflow_tenancy import ALL_SCOPES

_ALL: Final = "/v1/admin/tenants"
_HOME: Final = "/console/tenants"


@done(_HOME + "/{named:str}/keys", OPERATOR, form=tenant)
async def create_key(page: Page, named: str) -> Response[str]:
    """Make one; it is shown this once."""
    scopes = [scope for scope in sorted(ALL_SCOPES) if page.form.get(f"scope_{scope}")]
    if not scopes:
        raise forms.invalid("scopes", "Choose what the key may do.")
    body = {"name": forms.text(page.form, "name") or "unnamed", "scopes": scopes}
    made = await page.api.send("POST", at(_ALL, named, "keys"), body, key=page.repeat)
    return _shown(page, named, f"A new key of {named}", made)


@done(_HOME + "/{named:str}/keys/{key_id:str}/rotate", OPERATOR)
async def rotate_key(page: Page, named: str, key_id: str) -> Response[str]:
    """A new one with the same rights; the old one is good for a day more."""
    made = await page.api.send("POST", at(_ALL, named, "keys", key_id, "rotate"), {}, key=page.repeat)
    return _shown(page, named, "The key that follows", made)


@done(_HOME + "/{named:str}/keys/{key_id:str}/revoke", OPERATOR)
async def revoke_key(page: Page, named: str, key_id: str) -> Response[str]:
    """End one for good."""
    await page.api.send("DELETE", at(_ALL, named, "keys", key_id))
    return page.go(link(_HOME, named), "Revoked: it opens nothing any more.")


def _shown(page: Page, named: str, title: str, made: Any) -> Response[str]:
    return page.show(
        "new_key.html", title=title, key=made["key"], api_key=made["api_key"], back=link(_HOME, named),
        back_name="To the tenant",
    )  # fmt: skip


KEY_PAGES: Final[list[Any]] = [create_key, rotate_key, revoke_key]
