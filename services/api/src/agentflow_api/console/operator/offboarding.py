"""A tenant leaves: what would go, the typed confirmation, the grace, and the end with its receipt."""

from typing import Any, Final

from litestar import Response

from agentflow_api.console import forms
from agentflow_api.console.pages import OPERATOR, Page, at, done, link, shown

_TENANTS: Final = "/v1/admin/tenants"
_ALL: Final = "/v1/admin/offboardings"
_HOME: Final = "/console/offboardings"
_GRACES: Final = ((7 * 86_400, "a week"), (86_400, "a day"), (30 * 86_400, "30 days"), (0, "none"))


@shown("/console/tenants/{named:str}/offboarding", OPERATOR)
async def leave(page: Page, named: str) -> Response[str]:
    """What it means, and the form that asks for the tenant's name."""
    tenant = await page.api.get(at(_TENANTS, named))
    return page.show("operator/leave.html", tenant=tenant, graces=_GRACES)


@done("/console/tenants/{named:str}/offboarding", OPERATOR, form=leave)
async def offboard(page: Page, named: str) -> Response[str]:
    """Begin it, or count what would go."""
    is_dry = page.form.get("what") == "dry_run"
    tenant = await page.api.get(at(_TENANTS, named))
    if not is_dry and page.form.get("confirm", "").strip() != tenant["slug"]:
        raise forms.invalid("confirm", "Type the tenant's name exactly to confirm.")
    body: dict[str, Any] = {"dry_run": is_dry}
    if not is_dry:
        known = {str(seconds): seconds for seconds, _ in _GRACES}
        grace = known.get(page.form.get("grace_s", str(_GRACES[0][0])))
        if grace is None:
            raise forms.invalid("grace_s", "Choose one of the graces.")
        body |= {"grace_s": grace}
        body |= {"export": page.form.get("export") == "on"}
    asked = await page.api.send("POST", at(_TENANTS, named, "offboarding"), body)
    return page.go(link(_HOME, asked["offboarding"]["offboarding_id"]))


@shown(_HOME + "/{offboarding_id:str}", OPERATOR)
async def offboarding(page: Page, offboarding_id: str) -> Response[str]:
    """One offboarding, as it goes on."""
    return page.show("operator/offboarding.html", one=await page.api.get(at(_ALL, offboarding_id)))


@shown(_HOME + "/{offboarding_id:str}/part", OPERATOR)
async def offboarding_part(page: Page, offboarding_id: str) -> Response[str]:
    """The part of it that changes."""
    return page.part("operator/offboarding_part.html", one=await page.api.get(at(_ALL, offboarding_id)))


@done(_HOME + "/{offboarding_id:str}/cancel", OPERATOR)
async def cancel(page: Page, offboarding_id: str) -> Response[str]:
    """Let the tenant stay."""
    await page.api.send("POST", at(_ALL, offboarding_id, "cancel"))
    return page.go(link(_HOME, offboarding_id), "Cancelled: the tenant stays, as it was.")


@done(_HOME + "/{offboarding_id:str}/skip-grace", OPERATOR)
async def skip_grace(page: Page, offboarding_id: str) -> Response[str]:
    """Begin now."""
    await page.api.send("POST", at(_ALL, offboarding_id, "skip-grace"))
    return page.go(link(_HOME, offboarding_id), "The grace is over; it begins.")


OFFBOARDING_PAGES: Final[list[Any]] = [leave, offboard, offboarding, offboarding_part, cancel, skip_grace]
