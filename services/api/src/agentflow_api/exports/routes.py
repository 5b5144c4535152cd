"""`/v1/exports` and `/v1/imports`: a tenant takes its threads along, and brings them back."""

from typing import Any

from litestar import Request, Response, Router

from agentflow_api.exports import service
from agentflow_api.exports.schemas import ExportBody, LinkBody
from agentflow_api.exports.uploading import take_in
from agentflow_api.exports.views import export_view
from agentflow_api.http import parameters
from agentflow_api.http.actors import actor_of_key
from agentflow_api.http.body import validated
from agentflow_api.http.cursors import asked_cursor, cursor_after
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.routing import delete, get, post
from agentflow_api.keys.routes import asked_body
from agentflow_api.wiring import Wiring
from agentflow_tenancy import TENANT_ADMIN, Principal, Tenant
from agentflow_tenancy.control_plane import Actor
from agentflow_tenancy.exports import NewExport
from agentflow_tenancy.exports.records import Kind


async def ask_for_export(
    request: Request[Any, Any, Any], principal: Principal | None, tenant: Tenant, wiring: Wiring, actor: Actor
) -> Response[bytes]:
    """Have a tenant's threads exported."""
    service.folder(wiring)
    data = await asked_body(request, wiring)
    body = validated(ExportBody, data)
    if body.thread_id is not None:
        parameters.thread_id(body.thread_id)

    async def work(effect: Effect) -> Response[bytes]:
        new = NewExport(effect.effect_id, body.thread_id, body.user_id)
        record = await wiring.exports.request_export(tenant, new, actor=actor)
        return success({"export": export_view(record)}, "Accepted", status_code=202)

    return await once(request, principal, wiring, data, work)


async def page_of(
    request: Request[Any, Any, Any], tenant: Tenant, wiring: Wiring, kind: Kind
) -> Response[bytes]:
    """A page of exports or imports, ended ones too."""
    _, _, limit = parameters.page(request)
    records = await service.page(wiring, tenant, kind, asked_cursor(request), limit)
    following = cursor_after(str(records[-1].export_id)) if len(records) == limit else None
    return success({f"{kind}s": [export_view(record) for record in records], "next_cursor": following})


async def make_link(
    request: Request[Any, Any, Any], tenant: Tenant, export_id: str, wiring: Wiring
) -> Response[bytes]:
    """A link that downloads an export."""
    body = validated(LinkBody, await asked_body(request, wiring))
    record = await service.found(wiring, tenant, export_id, "export")
    return success(service.link_to(wiring, record, body.expires_in_s), "Created", status_code=201)


@post("/v1/exports", status_code=202)
async def create_export(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Have every thread of the tenant exported, or one, or all of one user."""
    tenant = _tenant(principal)
    return await ask_for_export(request, principal, tenant, wiring, actor_of_key(request, principal))


@get("/v1/exports")
async def list_exports(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """The tenant's exports, newest first."""
    return await page_of(request, _tenant(principal), wiring, "export")


@get("/v1/exports/{export_id:str}")
async def get_export(export_id: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """One export, with its progress."""
    return success(export_view(await service.found(wiring, _tenant(principal), export_id, "export")))


@delete("/v1/exports/{export_id:str}", status_code=200)
async def delete_export(export_id: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """Cancel an export that is under way, or have its file deleted before its time."""
    record = await service.found(wiring, _tenant(principal), export_id, "export")
    return success(export_view(await service.ended(wiring, record)))


@post("/v1/exports/{export_id:str}/link", status_code=201)
async def link_export(
    request: Request[Any, Any, Any], export_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A link that downloads the export, for whoever has it, until it expires."""
    return await make_link(request, _tenant(principal), export_id, wiring)


@post("/v1/imports", status_code=202)
async def create_import(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Have an archive imported: the body, as an export wrote it. One that ended half-way goes on."""
    record = await take_in(request, _tenant(principal), wiring, actor_of_key(request, principal))
    return success({"import": export_view(record)}, "Accepted", status_code=202)


@get("/v1/imports")
async def list_imports(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """The tenant's imports, newest first."""
    return await page_of(request, _tenant(principal), wiring, "import")


@get("/v1/imports/{import_id:str}")
async def get_import(import_id: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """One import, with its progress."""
    return success(export_view(await service.found(wiring, _tenant(principal), import_id, "import")))


@delete("/v1/imports/{import_id:str}", status_code=200)
async def cancel_import(import_id: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """Cancel an import: what it brought stays, and the same archive goes on from there."""
    record = await service.found(wiring, _tenant(principal), import_id, "import")
    return success(export_view(await service.ended(wiring, record)))


def _tenant(principal: Principal) -> Tenant:
    principal.require(TENANT_ADMIN)
    return principal.tenant


exports_router = Router(
    "/",
    route_handlers=[
        create_export,
        list_exports,
        get_export,
        delete_export,
        link_export,
        create_import,
        list_imports,
        get_import,
        cancel_import,
    ],
)
