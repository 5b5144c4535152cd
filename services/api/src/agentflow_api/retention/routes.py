"""`/v1/tenant/retention` and the operator's own: what is past its time. Nothing is deleted here."""

from typing import Any, Final

from litestar import Request, Response, Router

from agentflow_api.http import parameters
from agentflow_api.http.envelope import success
from agentflow_api.http.routing import get
from agentflow_api.retention.views import retention_view
from agentflow_api.tenants import service as tenants
from agentflow_api.wiring import Wiring
from agentflow_tenancy import TENANT_ADMIN, Principal, Tenant

_MOST_DAYS: Final = 36_500
_MOST_VERSIONS: Final = 1_000_000


@get("/v1/tenant/retention")
async def get_retention(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """What the tenant's retention would delete now; `retention_days`, `keep_checkpoints` ask about others."""
    principal.require(TENANT_ADMIN)
    return success(await _dry_run(request, wiring, principal.tenant))


@get("/v1/admin/tenants/{named:str}/retention")
async def get_retention_of_tenant(
    request: Request[Any, Any, Any],
    named: str,
    operator: str,  # noqa: ARG001 - asked for, so that nobody else gets in
    wiring: Wiring,
) -> Response[bytes]:
    """What a tenant's retention would delete now, or with `retention_days` and `keep_checkpoints` another."""
    return success(await _dry_run(request, wiring, await tenants.found(wiring, named)))


async def _dry_run(request: Request[Any, Any, Any], wiring: Wiring, tenant: Tenant) -> dict[str, Any]:
    days = parameters.whole_between(request, "retention_days", 1, _MOST_DAYS)
    kept = parameters.whole_between(request, "keep_checkpoints", 1, _MOST_VERSIONS)
    retention_days = tenant.retention_days if days is None else days
    keep_checkpoints = tenant.keep_checkpoints if kept is None else kept
    found = await wiring.retention.weigh(
        tenant.tenant_id,
        (tenant.placement, tenant.moving_to),
        retention_days=retention_days,
        keep_checkpoints=keep_checkpoints,
    )
    return retention_view(retention_days, keep_checkpoints, found)


retention_router: Final = Router("/", route_handlers=[get_retention, get_retention_of_tenant])
