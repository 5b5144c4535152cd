"""Where tenants live, and having them moved while they work."""

import asyncio
from typing import Any, Final

from litestar import Response

from agentflow_api.console.charts import BYTES, Chart, Place, Series, bar_chart
from agentflow_api.console.operator.tenants import tenant
from agentflow_api.console.pages import OPERATOR, Page, at, done, link, shown

_TENANTS: Final = "/v1/admin/tenants"
_OPERATIONS: Final = "/v1/admin/operations"
_MOST_DIGITS: Final = 10
_LATEST: Final = 5
_PAGE: Final = 20


@shown("/console/placement", OPERATOR)
async def placement(page: Page) -> Response[str]:
    """Partitions by size, who would move and why, and what moves now."""
    found, moves = await asyncio.gather(
        page.api.get("/v1/admin/partitions"), page.api.get(_OPERATIONS, limit=_LATEST)
    )
    partitions = sorted(found["partitions"], key=lambda one: (-one["size_bytes"], one["placement"]))
    return page.show(
        "operator/placement.html",
        chart=bar_chart(_chart(partitions[:40])),
        partitions=partitions,
        would_move=found["would_move"],
        operations=moves["operations"],
        has_more=moves["next_cursor"],
    )


@done("/console/tenants/{named:str}/placement", OPERATOR, form=tenant)
async def move(page: Page, named: str) -> Response[str]:
    """Have a tenant moved; to the page that watches it."""
    to = page.form.get("placement", "")
    number = int(to) if to.isascii() and to.isdecimal() and len(to) < _MOST_DIGITS else None
    body = {"placement": to if number is None else number, "reason": page.form.get("reason", "")}
    asked = await page.api.send("POST", at(_TENANTS, named, "placement"), body, key=page.repeat)
    return page.go(link("/console/operations", asked["operation"]["operation_id"]))


@shown("/console/operations", OPERATOR)
async def operations(page: Page) -> Response[str]:
    """Moves and offboardings, newest first."""
    asked = {name: value for name in ("tenant", "moves", "leaving") if (value := page.given(name))}
    named = asked.get("tenant")
    moves, leaving = await asyncio.gather(
        page.api.get(_OPERATIONS, limit=_PAGE, tenant=named, cursor=asked.get("moves")),
        page.api.get("/v1/admin/offboardings", limit=_PAGE, tenant=named, cursor=asked.get("leaving")),
    )
    return page.show("operator/operations.html", moves=moves, leaving=leaving, asked=asked)


@shown("/console/operations/{operation_id:str}", OPERATOR)
async def operation(page: Page, operation_id: str) -> Response[str]:
    """One move, as it goes on."""
    one = await page.api.get(at(_OPERATIONS, operation_id))
    tenant = await page.api.get(at(_TENANTS, one["tenant_id"]))
    return page.show("operator/operation.html", operation=one, tenant=tenant)


@shown("/console/operations/{operation_id:str}/part", OPERATOR)
async def operation_part(page: Page, operation_id: str) -> Response[str]:
    """The part of it that changes."""
    one = await page.api.get(at(_OPERATIONS, operation_id))
    return page.part("operator/operation_part.html", operation=one)


@done("/console/operations/{operation_id:str}/cancel", OPERATOR)
async def cancel(page: Page, operation_id: str) -> Response[str]:
    """Have a move undone."""
    await page.api.send("POST", at(_OPERATIONS, operation_id, "cancel"))
    return page.go(link("/console/operations", operation_id), "It goes back to where it was.")


def _chart(partitions: list[dict[str, Any]]) -> Chart:
    places = [
        Place(str(one["placement"]), f"{one['kind']} {one['placement']}, tenants: {one['tenants']}")
        for one in partitions
    ]
    sizes = [float(one["size_bytes"]) for one in partitions]
    return Chart("Size of partitions", places, [Series("size", sizes)], BYTES, "Partition")


PLACEMENT_PAGES: Final[list[Any]] = [placement, move, operations, operation, operation_part, cancel]
