"""`/v1/usage`: what the tenant used; for the operator what one of them did, and all."""

from typing import Any

from litestar import Request, Response, Router

from agentflow_api.http.envelope import success
from agentflow_api.http.routing import get
from agentflow_api.tenants import service as tenants
from agentflow_api.usage import service
from agentflow_api.usage.parameters import asked_page, asked_time, granularity
from agentflow_api.wiring import Wiring
from agentflow_tenancy import USAGE_READ, Principal


@get("/v1/usage")
async def get_usage(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The tenant's usage between two times, by hour or day, with its sum."""
    principal.require(USAGE_READ)
    by = granularity(request)
    tenant = principal.tenant
    limits = tenant.limits.at_most(principal.limits)
    time = asked_time(request, by)
    return success(await service.usage_of_tenant(wiring.usage, tenant.tenant_id, limits, time, by))


@get("/v1/admin/tenants/{named:str}/usage")
async def get_usage_of_one(
    request: Request[Any, Any, Any],
    named: str,
    operator: str,  # noqa: ARG001 - asked for, so that nobody else gets in
    wiring: Wiring,
) -> Response[bytes]:
    """One tenant's usage between two times, by hour or day, as the tenant reads it."""
    by = granularity(request)
    time = asked_time(request, by)
    tenant = await tenants.found(wiring, named)
    return success(await service.usage_of_tenant(wiring.usage, tenant.tenant_id, tenant.limits, time, by))


@get("/v1/admin/usage")
async def get_usage_of_all(
    request: Request[Any, Any, Any],
    operator: str,  # noqa: ARG001 - asked for, so that nobody else gets in
    wiring: Wiring,
) -> Response[bytes]:
    """Every tenant's usage between two times, a page of tenants at a time."""
    after, limit = asked_page(request)
    time = asked_time(request, "day")
    return success(await service.usage_of_all(wiring.usage, time, after=after, limit=limit))


usage_router = Router("/", route_handlers=[get_usage, get_usage_of_one, get_usage_of_all])
