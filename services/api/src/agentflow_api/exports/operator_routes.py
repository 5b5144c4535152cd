"""The operator's side of exports and imports: `/v1/admin/tenants/{named}/exports` and `.../imports`."""

from typing import Any

from litestar import Request, Response, Router, get, post

from agentflow_api.exports import service
from agentflow_api.exports.routes import ask_for_export, make_link
from agentflow_api.exports.uploading import take_in
from agentflow_api.exports.views import export_view
from agentflow_api.http.actors import actor_operator
from agentflow_api.http.credentials import require_operator
from agentflow_api.http.envelope import success
from agentflow_api.tenants.service import found
from agentflow_api.wiring import Wiring


@post("/exports", status_code=202)
async def create_export_of(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """Have every thread of a tenant exported, or one, or all of one user."""
    tenant = await found(wiring, named)
    return await ask_for_export(request, None, tenant, wiring, actor_operator(request))


@get("/exports/{export_id:str}")
async def get_export_of(named: str, export_id: str, wiring: Wiring) -> Response[bytes]:
    """One export of a tenant, with its progress."""
    return success(export_view(await service.found(wiring, await found(wiring, named), export_id, "export")))


@post("/exports/{export_id:str}/link", status_code=201)
async def link_export_of(
    request: Request[Any, Any, Any], named: str, export_id: str, wiring: Wiring
) -> Response[bytes]:
    """A link that downloads the export, for whoever has it, until it expires."""
    return await make_link(request, await found(wiring, named), export_id, wiring)


@post("/imports", status_code=202)
async def create_import_of(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """Have an archive imported into a tenant: the body, as an export wrote it."""
    record = await take_in(request, await found(wiring, named), wiring, actor_operator(request))
    return success({"import": export_view(record)}, "Accepted", status_code=202)


@get("/imports/{import_id:str}")
async def get_import_of(named: str, import_id: str, wiring: Wiring) -> Response[bytes]:
    """One import of a tenant, with its progress."""
    return success(export_view(await service.found(wiring, await found(wiring, named), import_id, "import")))


operators_exports_router = Router(
    "/v1/admin/tenants/{named:str}",
    route_handlers=[create_export_of, get_export_of, link_export_of, create_import_of, get_import_of],
    guards=[require_operator],
)
