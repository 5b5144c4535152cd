"""Tenants: the list, making one, and one tenant's page."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from litestar import Response

from agentflow_api.console import forms
from agentflow_api.console.backend import ApiRefusedError
from agentflow_api.console.charts.usage import charts_of, first_of_month, limits_of, quotas_of
from agentflow_api.console.pages import OPERATOR, Page, at, done, link, shown
from agentflow_api.console.refusals import INVALID, refusal_of
from agentflow_tenancy import ALL_SCOPES
from agentflow_tenancy.plans import LIMIT_NAMES, PLANS

_ALL: Final = "/v1/admin/tenants"
_HOME: Final = "/console/tenants"
_STATES: Final = ("active", "suspended", "offboarding")
_PAGE: Final = 25
_NOTED: Final = 12
_KEYS: Final = 50
_LATEST: Final = 5


@shown(_HOME, OPERATOR)
async def tenants(page: Page) -> Response[str]:
    """Every tenant: where it is, how large, and how much it grew."""
    wanted = {name: page.query.get(name) for name in ("search", "state", "plan", "placement", "cursor")}
    found: dict[str, Any] = {"tenants": [], "next_cursor": None}
    try:
        found = await page.api.get(_ALL, include="usage", limit=_PAGE, **wanted)
    except ApiRefusedError as refused:
        if refused.status != INVALID:
            raise
        page.refusal = refusal_of(refused)
    return page.show(
        "operator/tenants.html",
        tenants=found["tenants"],
        next_cursor=found["next_cursor"],
        wanted={name: value for name, value in wanted.items() if value and name != "cursor"},
        states=_STATES,
        plans=sorted(PLANS),
    )


@shown("/console/new-tenant", OPERATOR)
async def new_tenant(page: Page) -> Response[str]:
    """The form of a new one."""
    return page.show("operator/new_tenant.html", plans=sorted(PLANS))


@done("/console/new-tenant", OPERATOR, form=new_tenant)
async def create_tenant(page: Page) -> Response[str]:
    """Make one; its key is shown this once."""
    body = {name: page.form.get(name, "").strip() for name in ("slug", "name", "plan")}
    asked = {name: value for name, value in body.items() if value}
    made = await page.api.send("POST", _ALL, asked, key=page.repeat)
    back = link(_HOME, made["slug"])
    return page.show(
        "new_key.html", title=f"Tenant {made['slug']} is made", key=made["key"], api_key=made["api_key"],
        back=back, back_name="To the tenant",
    )  # fmt: skip


@shown(_HOME + "/{named:str}", OPERATOR)
async def tenant(page: Page, named: str) -> Response[str]:
    """One tenant: what it may and does, its keys, what was done to it."""
    now = datetime.now(UTC)
    one = await page.api.get(at(_ALL, named))
    slug = one["slug"]
    usage, keys, noted, moves, leaving = await asyncio.gather(
        page.api.get(at(_ALL, slug, "usage"), **{"from": first_of_month(now).isoformat()}),
        page.api.get(at(_ALL, slug, "keys"), limit=_KEYS, cursor=page.query.get("keys")),
        page.api.get("/v1/admin/audit", tenant=slug, limit=_NOTED),
        page.api.get("/v1/admin/operations", tenant=slug, limit=_LATEST),
        page.api.get("/v1/admin/offboardings", tenant=slug, limit=_LATEST),
    )
    return page.show(
        "operator/tenant.html",
        tenant=one,
        total=usage["total"],
        kept=usage["kept"],
        quotas=quotas_of(usage, now),
        limits=limits_of(usage),
        charts=charts_of(usage, "day"),
        keys=keys["keys"],
        further_keys=keys["next_cursor"],
        has_more=moves["next_cursor"] or leaving["next_cursor"],
        scopes=sorted(ALL_SCOPES),
        entries=noted["entries"],
        earlier=noted["next_cursor"],
        operations=moves["operations"],
        offboardings=leaving["offboardings"],
        month=f"{now:%B %Y}",
    )


@shown(_HOME + "/{named:str}/settings", OPERATOR)
async def settings(page: Page, named: str) -> Response[str]:
    """The form of what may be changed of it."""
    one = await page.api.get(at(_ALL, named))
    return page.show("operator/settings.html", tenant=one, plans=sorted(PLANS), names=LIMIT_NAMES)


@done(_HOME + "/{named:str}/settings", OPERATOR, form=settings)
async def change(page: Page, named: str) -> Response[str]:
    """Change plan, limits and retention; effective within a second."""
    await page.api.send("PATCH", at(_ALL, named), _changes(page.form))
    return page.go(link(_HOME, named), "Changed; it holds on every replica within a second.")


@done(_HOME + "/{named:str}/suspend", OPERATOR)
async def suspend(page: Page, named: str) -> Response[str]:
    """Refuse its credentials."""
    await page.api.send("POST", at(_ALL, named, "suspend"))
    return page.go(link(_HOME, named), "Suspended: none of its credentials opens anything.")


@done(_HOME + "/{named:str}/resume", OPERATOR)
async def resume(page: Page, named: str) -> Response[str]:
    """Take them again."""
    await page.api.send("POST", at(_ALL, named, "resume"))
    return page.go(link(_HOME, named), "Resumed: its keys are taken again.")


def _changes(form: Mapping[str, str]) -> dict[str, Any]:
    """What the form says; an empty field is "as the plan has it".

    Raises:
        InvalidBodyError: No whole number.
    """
    limits = {name: _number(form, f"limit_{name}") for name in LIMIT_NAMES}
    return {
        "name": form.get("name", ""),
        "plan": form.get("plan", ""),
        "limits": {name: number for name, number in limits.items() if number is not None},
        **{name: _number(form, name) for name in ("retention_days", "keep_checkpoints")},
    }


def _number(form: Mapping[str, str], name: str) -> int | None:
    return forms.number(form, name) if forms.text(form, name) else None


TENANT_PAGES: Final[list[Any]] = [
    tenants, new_tenant, create_tenant, tenant, settings, change, suspend, resume,
]  # fmt: skip
