"""Having a tenant offboarded, or a user forgotten: by the operator, or by the tenant itself."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, Router

from agentflow_api.http import parameters
from agentflow_api.http.actors import actor_of_key, actor_operator
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.credentials import require_operator
from agentflow_api.http.cursors import asked_cursor, cursor_after
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.problems import (
    ConflictingError,
    InvalidBodyError,
    InvalidParameterError,
    NotThereError,
)
from agentflow_api.http.routing import get, post
from agentflow_api.offboarding.schemas import ForgettingBody, OffboardingBody, OwnOffboardingBody
from agentflow_api.offboarding.views import offboarding_view, own_view
from agentflow_api.tenants import service as tenants
from agentflow_api.wiring import Wiring
from agentflow_tenancy import TENANT_ADMIN, Principal
from agentflow_tenancy.offboarding import Offboarding
from agentflow_tenancy.offboarding import Request as Asked

STATES: Final = (
    "suspended", "exporting", "grace", "purging", "verifying", "purged", "cancelled", "measuring", "measured",
)  # fmt: skip


@post("/v1/admin/tenants/{named:str}/offboarding", status_code=202, guards=[require_operator])
async def offboard_tenant(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """Delete a tenant with everything, with a receipt. From now on none of its credentials is good."""
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    body = validated(OffboardingBody, {} if data is None else data)
    asked = Asked(dry_run=body.dry_run, with_export=body.export, grace_s=body.grace_s)
    return await _by_operator(request, named, wiring, data, asked)


@post("/v1/admin/tenants/{named:str}/forgotten-users", status_code=202, guards=[require_operator])
async def forget_user_of_tenant(
    request: Request[Any, Any, Any], named: str, wiring: Wiring
) -> Response[bytes]:
    """Delete what one user of a tenant left, with a receipt."""
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    body = validated(ForgettingBody, data)
    asked = Asked(user_id=body.user_id, dry_run=body.dry_run, grace_s=body.grace_s)
    return await _by_operator(request, named, wiring, data, asked)


@get("/v1/admin/offboardings", guards=[require_operator])
async def list_offboardings(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """Offboardings, newest first, also of tenants that are gone; `tenant` and `state` filter."""
    _, _, limit = parameters.page(request)
    state = request.query_params.get("state") or None
    if state is not None and state not in STATES:
        raise InvalidParameterError(f"state must be one of {', '.join(STATES)}.")
    named = request.query_params.get("tenant")
    cursor = asked_cursor(request)
    bad_cursor = InvalidParameterError("cursor is not one that this service gave.")
    found = await wiring.offboardings.page(
        tenant_id=await _tenant_id(wiring, named) if named else None,
        state=state,
        before=uuid_of(cursor, bad_cursor) if cursor else None,
        limit=limit,
    )
    following = cursor_after(str(found[-1].offboarding_id)) if len(found) == limit else None
    return success({"offboardings": [offboarding_view(one) for one in found], "next_cursor": following})


@get("/v1/admin/offboardings/{offboarding_id:str}", guards=[require_operator])
async def get_offboarding(offboarding_id: str, wiring: Wiring) -> Response[bytes]:
    """One, with its progress."""
    return success(offboarding_view(await _found(wiring, offboarding_id)))


@post("/v1/admin/offboardings/{offboarding_id:str}/cancel", status_code=202, guards=[require_operator])
async def cancel_offboarding(
    request: Request[Any, Any, Any], offboarding_id: str, wiring: Wiring
) -> Response[bytes]:
    """Take one back: its tenant is as it was. Until purging begins."""

    async def work(effect: Effect) -> Response[bytes]:
        found = await _found(wiring, offboarding_id)
        if effect.since is not None and found.state == "cancelled":  # by the first try
            return success(offboarding_view(found), "Accepted", status_code=202)
        cancelled = await wiring.offboardings.cancel(found, actor=actor_operator(request))
        if cancelled is None:
            raise ConflictingError("Purging has begun, or it is over.")
        return success(offboarding_view(cancelled), "Accepted", status_code=202)

    return await once(request, None, wiring, None, work)


@post("/v1/admin/offboardings/{offboarding_id:str}/skip-grace", status_code=202, guards=[require_operator])
async def skip_grace(request: Request[Any, Any, Any], offboarding_id: str, wiring: Wiring) -> Response[bytes]:
    """Have purging begin as soon as it can."""

    async def work(effect: Effect) -> Response[bytes]:
        found = await _found(wiring, offboarding_id)
        skipped = await wiring.offboardings.skip_grace(found, actor=actor_operator(request))
        if skipped is None and effect.since is None:
            raise ConflictingError("Purging has begun, or it is over.")
        return success(offboarding_view(skipped or found), "Accepted", status_code=202)

    return await once(request, None, wiring, None, work)


@post("/v1/tenant/offboarding", status_code=202)
async def leave(request: Request[Any, Any, Any], leaver: Principal, wiring: Wiring) -> Response[bytes]:
    """Delete this tenant with everything, with a receipt; `confirm` repeats its slug.

    From now on its credentials open nothing but this. The receipt is at `/receipts/{offboarding_id}`, for
    whoever knows that id, also when the tenant is gone.
    """
    leaver.require(TENANT_ADMIN)
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    body = validated(OwnOffboardingBody, {} if data is None else data)
    if not body.dry_run and body.confirm != leaver.tenant.slug:
        raise InvalidBodyError("confirm must be the tenant's own slug: this deletes everything it has.")
    asked = Asked(dry_run=body.dry_run, with_export=body.export, grace_s=body.grace_s)
    return await _by_tenant(request, leaver, wiring, data, asked)


@get("/v1/tenant/offboarding")
async def get_own_offboarding(leaver: Principal, wiring: Wiring) -> Response[bytes]:
    """The tenant's own offboarding, if one is under way."""
    leaver.require(TENANT_ADMIN)
    found = await wiring.offboardings.open_of(leaver.tenant.tenant_id)
    return success({"offboarding": None if found is None else own_view(found)})


@post("/v1/tenant/offboarding/cancel", status_code=202)
async def stay(request: Request[Any, Any, Any], leaver: Principal, wiring: Wiring) -> Response[bytes]:
    """Take the tenant's own offboarding back, until purging begins. Tokens of before stay ended."""
    leaver.require(TENANT_ADMIN)

    async def work(_: Effect) -> Response[bytes]:
        found = await wiring.offboardings.open_of(leaver.tenant.tenant_id)
        if found is None:
            raise NotThereError("Nothing is under way.")
        cancelled = await wiring.offboardings.cancel(found, actor=actor_of_key(request, leaver))
        if cancelled is None:
            raise ConflictingError("Purging has begun, or it is over.")
        return success(own_view(cancelled), "Accepted", status_code=202)

    return await once(request, leaver, wiring, None, work)


@post("/v1/tenant/forgotten-users", status_code=202)
async def forget_user(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Delete what one user of this tenant left, threads, runs and all below them, with a receipt."""
    principal.require(TENANT_ADMIN)
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    body = validated(ForgettingBody, data)
    asked = Asked(user_id=body.user_id, dry_run=body.dry_run, grace_s=body.grace_s)
    return await _by_tenant(request, principal, wiring, data, asked)


@get("/v1/tenant/offboardings/{offboarding_id:str}")
async def get_offboarding_of_tenant(
    offboarding_id: str, leaver: Principal, wiring: Wiring
) -> Response[bytes]:
    """One of this tenant's, its users' and dry runs too."""
    leaver.require(TENANT_ADMIN)
    found = await _found(wiring, offboarding_id)
    if found.tenant_id != leaver.tenant.tenant_id:
        raise _missing()
    return success(own_view(found))


async def _by_operator(
    request: Request[Any, Any, Any], named: str, wiring: Wiring, data: Any, asked: Asked
) -> Response[bytes]:
    async def work(effect: Effect) -> Response[bytes]:
        found = None if effect.since is None else await wiring.offboardings.get(effect.effect_id)
        if found is None:
            tenant = await tenants.found(wiring, named)
            found = await wiring.offboardings.request(
                tenant, asked, actor=actor_operator(request), offboarding_id=effect.effect_id
            )
        return success({"offboarding": offboarding_view(found)}, "Accepted", status_code=202)

    return await once(request, None, wiring, data, work)


async def _by_tenant(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring, data: Any, asked: Asked
) -> Response[bytes]:
    async def work(effect: Effect) -> Response[bytes]:
        actor = actor_of_key(request, principal)
        found = await wiring.offboardings.request(
            principal.tenant, asked, actor=actor, offboarding_id=effect.effect_id
        )
        return success({"offboarding": own_view(found)}, "Accepted", status_code=202)

    return await once(request, principal, wiring, data, work)


async def _tenant_id(wiring: Wiring, named: str) -> UUID:
    """Of a tenant by its slug or id; by its id also when it is gone."""
    try:
        return (await tenants.found(wiring, named)).tenant_id
    except NotThereError as error:
        gone = uuid_of(named, error)
        if not await wiring.repository.is_gone(gone):
            raise
        return gone


async def _found(wiring: Wiring, offboarding_id: str) -> Offboarding:
    found = await wiring.offboardings.get(uuid_of(offboarding_id, _missing()))
    if found is None:
        raise _missing()
    return found


def uuid_of(text: str, otherwise: Exception) -> UUID:
    """An id that a client sent.

    Raises:
        `otherwise`: It is none.
    """
    try:
        return UUID(text)
    except ValueError:
        raise otherwise from None


def _missing() -> NotThereError:
    return NotThereError("There is no such offboarding.")


offboarding_router = Router(
    "/",
    route_handlers=[
        offboard_tenant,
        forget_user_of_tenant,
        list_offboardings,
        get_offboarding,
        cancel_offboarding,
        skip_grace,
        leave,
        get_own_offboarding,
        stay,
        forget_user,
        get_offboarding_of_tenant,
    ],
)
