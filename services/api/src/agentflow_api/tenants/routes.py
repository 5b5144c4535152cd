"""`/v1/admin/tenants`: for the operator, by the operator's token."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, Router, delete, get, patch, post

from agentflow_api.http import parameters
from agentflow_api.http.actors import actor_operator
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.credentials import require_operator
from agentflow_api.http.cursors import asked_cursor, cursor_after
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.problems import InvalidParameterError
from agentflow_api.keys.routes import asked_body, page_of
from agentflow_api.keys.schemas import NewKey, Rotation
from agentflow_api.keys.service import Keyring, keyring_for_operator
from agentflow_api.tenants import service
from agentflow_api.tenants.schemas import NewTenantBody, TenantChanges
from agentflow_api.tenants.views import tenant_view
from agentflow_api.wiring import Wiring
from agentflow_tenancy.tenants import TenantFilter

_STATES: Final = ("active", "suspended", "offboarding")


@post("/", status_code=201)
async def create_tenant(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """A tenant and its first key; `data.api_key` is shown this once, or again for its `Idempotency-Key`."""
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    body = validated(NewTenantBody, data)

    async def work(effect: Effect) -> Response[bytes]:
        made = await service.create_tenant(wiring, body, effect.effect_id, actor_operator(request))
        return success(made, "Created", status_code=201)

    def secret(effect_id: UUID) -> str:
        return service.first_key(wiring, effect_id).text

    return await once(request, None, wiring, data, work, secret=secret)


@get("/")
async def list_tenants(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """Tenants by slug, a page at a time; `state`, `plan`, `placement` and `search` filter.

    With `include=usage` each comes with what it keeps and what it used within 30 days.
    """
    search, _, limit = parameters.page(request)
    wanted = TenantFilter(
        state=_one_of(request, "state", _STATES),
        plan=request.query_params.get("plan") or None,
        placement=parameters.whole(request, "placement"),
        search=search,
    )
    with_usage = _one_of(request, "include", ("usage",)) is not None
    tenants = await wiring.repository.list_tenants(wanted, after=asked_cursor(request), limit=limit)
    following = cursor_after(tenants[-1].slug) if len(tenants) == limit else None
    views = [tenant_view(tenant) for tenant in tenants]
    if with_usage and tenants:
        found = await service.recent_usage(wiring, tenants)
        views = [view | {"usage": usage} for view, usage in zip(views, found, strict=True)]
    return success({"tenants": views, "next_cursor": following})


@get("/{named:str}")
async def get_tenant(named: str, wiring: Wiring) -> Response[bytes]:
    """A tenant by slug or id."""
    return success(tenant_view(await service.found(wiring, named)))


@patch("/{named:str}")
async def change_tenant(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """Change plan, limits, retention, name or agents; effective on every replica within a second."""
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    body = validated(TenantChanges, data)
    return success(await service.change_tenant(wiring, named, body, actor_operator(request)), "Changed")


@post("/{named:str}/suspend", status_code=200)
async def suspend_tenant(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """Refuse all of the tenant's credentials, on every replica within a second."""
    return await _set_state(request, named, wiring, "suspended", "Suspended")


@post("/{named:str}/resume", status_code=200)
async def resume_tenant(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """Take a suspended tenant's credentials again."""
    return await _set_state(request, named, wiring, "active", "Resumed")


@get("/{named:str}/keys")
async def list_keys(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """A tenant's keys, without their secrets."""
    return await page_of(request, await _keyring(request, named, wiring))


@post("/{named:str}/keys", status_code=201)
async def create_key(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """A new key for a tenant; `data.api_key` is shown this once, or again for its `Idempotency-Key`."""
    keyring = await _keyring(request, named, wiring)
    body = await asked_body(request, wiring)
    asked = validated(NewKey, body)

    async def work(effect: Effect) -> Response[bytes]:
        return success(await keyring.create(asked, effect.effect_id), "Created", status_code=201)

    return await once(request, None, wiring, body, work, secret=keyring.secret)


@get("/{named:str}/keys/{key_id:str}")
async def get_key(
    request: Request[Any, Any, Any], named: str, key_id: str, wiring: Wiring
) -> Response[bytes]:
    """One key of a tenant, without its secret."""
    return success(await (await _keyring(request, named, wiring)).get(key_id))


@post("/{named:str}/keys/{key_id:str}/rotate", status_code=201)
async def rotate_key(
    request: Request[Any, Any, Any], named: str, key_id: str, wiring: Wiring
) -> Response[bytes]:
    """A new key with the same rights; the old one ends after `overlap_s`."""
    keyring = await _keyring(request, named, wiring)
    body = await asked_body(request, wiring)
    asked = validated(Rotation, body)

    async def work(effect: Effect) -> Response[bytes]:
        made = await keyring.rotate(key_id, asked.overlap_s, effect.effect_id)
        return success(made, "Rotated", status_code=201)

    return await once(request, None, wiring, body, work, secret=keyring.secret)


@delete("/{named:str}/keys/{key_id:str}", status_code=200)
async def revoke_key(
    request: Request[Any, Any, Any], named: str, key_id: str, wiring: Wiring
) -> Response[bytes]:
    """End a tenant's key for good, on every replica within a second."""
    return success(await (await _keyring(request, named, wiring)).revoke(key_id), "Revoked")


async def _set_state(
    request: Request[Any, Any, Any], named: str, wiring: Wiring, state: str, said: str
) -> Response[bytes]:
    async def work(_: Effect) -> Response[bytes]:
        return success(await service.set_state(wiring, named, state, actor_operator(request)), said)

    return await once(request, None, wiring, None, work)


async def _keyring(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Keyring:
    tenant = await service.found(wiring, named)
    pepper = wiring.settings.key_pepper
    return keyring_for_operator(wiring.keys, pepper, tenant.tenant_id, actor_operator(request))


def _one_of(request: Request[Any, Any, Any], name: str, known: tuple[str, ...]) -> str | None:
    text = request.query_params.get(name) or None
    if text is not None and text not in known:
        raise InvalidParameterError(f"{name} must be one of {', '.join(known)}.")
    return text


tenants_router = Router(
    "/v1/admin/tenants",
    route_handlers=[
        create_tenant,
        list_tenants,
        get_tenant,
        change_tenant,
        suspend_tenant,
        resume_tenant,
        list_keys,
        create_key,
        get_key,
        rotate_key,
        revoke_key,
    ],
    guards=[require_operator],
)
