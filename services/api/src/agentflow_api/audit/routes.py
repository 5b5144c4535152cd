"""The audit log: `/v1/admin/audit` for the operator, `/v1/audit` for a tenant's own changes."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from litestar import Request, Response, Router

from agentflow_api.http import parameters
from agentflow_api.http.credentials import require_operator
from agentflow_api.http.cursors import asked_cursor, cursor_after
from agentflow_api.http.envelope import success
from agentflow_api.http.problems import InvalidParameterError
from agentflow_api.http.routing import get
from agentflow_api.tenants import service
from agentflow_api.wiring import Wiring
from agentflow_tenancy import TENANT_ADMIN, Principal
from agentflow_tenancy.control_plane import NEWEST, AuditEntry


@get("/v1/admin/audit", guards=[require_operator])
async def audit_of_all(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """Every change, newest first; `tenant` (a slug or id) filters."""
    named = request.query_params.get("tenant")
    tenant = await service.found(wiring, named) if named else None
    return await _page(request, wiring, tenant.tenant_id if tenant else None)


@get("/v1/audit")
async def audit_of_tenant(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Changes of the tenant and its keys, newest first."""
    principal.require(TENANT_ADMIN)
    return await _page(request, wiring, principal.tenant.tenant_id)


async def _page(request: Request[Any, Any, Any], wiring: Wiring, tenant_id: UUID | None) -> Response[bytes]:
    _, _, limit = parameters.page(request)
    entries = await wiring.audit.page(tenant_id, before=_before(request), limit=limit)
    following = cursor_after(str(entries[-1].audit_id)) if len(entries) == limit else None
    return success({"entries": [_view(entry) for entry in entries], "next_cursor": following})


def _before(request: Request[Any, Any, Any]) -> int:
    text = asked_cursor(request)
    if not text:
        return NEWEST
    if not text.isdecimal() or len(text) > 18:
        raise InvalidParameterError("cursor is not one that this service gave.")
    return int(text)


def _view(entry: AuditEntry) -> dict[str, Any]:
    tenant_id = None if entry.tenant_id is None else str(entry.tenant_id)
    return {**asdict(entry), "at": entry.at.isoformat(), "tenant_id": tenant_id}


audit_router = Router("/", route_handlers=[audit_of_all, audit_of_tenant])
