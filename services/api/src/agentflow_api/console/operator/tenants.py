"""Tenants: the list, making one, and one tenant's page."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from litestar import Response

from agentflow_api.console.backend import ApiRefusedError
from agentflow_api.console.pages import OPERATOR, Page, at, done, link, shown
from agentflow_api.console.tenant.usage.months import charts_of, first_of_month, limits_of, quotas_of
from agentflow_tenancy.plans import LIMIT_NAMES, PLANS

_ALL: Final = "/v1/admin/tenants"
_HOME: Final = "/console/tenants"
_STATES: Final = ("active", "suspended", "offboarding")
_PAGE: Final = 25
_NOTED: Final = 12


@shown(_HOME, OPERATOR)
async def tenants(page: Page) -> Response[str]:
    """Every tenant: where it is, how large, and how much it grew."""
    wanted = {name: page.query.get(name) for name in ("search", "state", "plan", "placement", "cursor")}
    found = await page.api.get(_ALL, include="usage", limit=_PAGE, **wanted)
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
    return page.show("operator/new_tenant.html", problem="", given={}, plans=sorted(PLANS))


@done("/console/new-tenant", OPERATOR)
async def create_tenant(page: Page) -> Response[str]:
    """Make one; its key is shown this once."""
    body = {name: page.form.get(name, "").strip() for name in ("slug", "name", "plan")}
    try:
        asked = {name: value for name, value in body.items() if value}
        made = await page.api.send("POST", _ALL, asked, key=page.repeat)
    except ApiRefusedError as refused:
        return page.show(
            "operator/new_tenant.html", status=refused.status, problem=str(refused), given=body,
            plans=sorted(PLANS),
        )  # fmt: skip
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
        page.api.get(at(_ALL, slug, "keys"), limit=100),
        page.api.get("/v1/admin/audit", tenant=slug, limit=_NOTED),
        page.api.get("/v1/admin/operations", tenant=slug, limit=5),
        page.api.get("/v1/admin/offboardings", tenant=slug, limit=5),
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
        entries=noted["entries"],
        operations=moves["operations"],
        offboardings=leaving["offboardings"],
        month=f"{now:%B %Y}",
    )


@shown(_HOME + "/{named:str}/settings", OPERATOR)
async def settings(page: Page, named: str) -> Response[str]:
    """The form of what may be changed of it."""
    return await _settings(page, await page.api.get(at(_ALL, named)), "", 200)


@done(_HOME + "/{named:str}/settings", OPERATOR)
async def change(page: Page, named: str) -> Response[str]:
    """Change plan, limits and retention; effective within a second."""
    try:
        await page.api.send("PATCH", at(_ALL, named), _changes(page.form))
    except ApiRefusedError as refused:
        return await _settings(page, await page.api.get(at(_ALL, named)), str(refused), refused.status)
    except ValueError:
        problem = "Limits, days and versions are whole numbers, or nothing."
        return await _settings(page, await page.api.get(at(_ALL, named)), problem, 422)
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


async def _settings(page: Page, one: Any, problem: str, status: int) -> Response[str]:
    return page.show(
        "operator/settings.html", status=status, tenant=one, problem=problem, plans=sorted(PLANS),
        names=LIMIT_NAMES,
    )  # fmt: skip


def _changes(form: Mapping[str, str]) -> dict[str, Any]:
    """What the form says; an empty field is "as the plan has it".

    Raises:
        ValueError: No whole number.
    """
    limits = {name: int(text) for name in LIMIT_NAMES if (text := form.get(f"limit_{name}", "").strip())}
    numbers = {name: form.get(name, "").strip() for name in ("retention_days", "keep_checkpoints")}
    return {
        "name": form.get("name", ""),
        "plan": form.get("plan", ""),
        "limits": limits,
        **{name: int(text) if text else None for name, text in numbers.items()},
    }


TENANT_PAGES: Final[list[Any]] = [
    tenants, new_tenant, create_tenant, tenant, settings, change, suspend, resume,
]  # fmt: skip
