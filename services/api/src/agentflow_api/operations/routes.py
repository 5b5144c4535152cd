"""`/v1/admin/operations`, `/v1/admin/partitions`, and having a tenant moved."""

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Request, Response, Router, get, post
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from agentflow_api.http import parameters
from agentflow_api.http.actors import actor_operator
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
from agentflow_api.operations.views import operation_view, partition_view, proposal_view
from agentflow_api.tenants import service as tenants
from agentflow_api.wiring import Wiring
from agentflow_tenancy.moves import Operation
from agentflow_tenancy.moves.policy import emptiest_pool
from agentflow_tenancy.schema import POOL_PLACEMENTS

_STATES = ("queued", "running", "done", "failed", "cancelled")


class PlacementBody(BaseModel):
    """Where a tenant shall live: `dedicated`, `pool` (the emptiest), or the number of a pool partition."""

    model_config = ConfigDict(extra="forbid")

    placement: Literal["dedicated", "pool"] | StrictInt
    reason: Annotated[str, Field(max_length=500)] = ""


@post("/v1/admin/tenants/{named:str}/placement", status_code=202)
async def move_tenant(request: Request[Any, Any, Any], named: str, wiring: Wiring) -> Response[bytes]:
    """Have a tenant moved while it works; asking again joins the move that is open."""
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    body = validated(PlacementBody, data)

    async def work(effect: Effect) -> Response[bytes]:
        known = None if effect.since is None else await wiring.operations.get(effect.effect_id)
        operation = known or await _asked_for(request, named, wiring, body, effect)
        return success({"operation": operation_view(operation)}, "Accepted", status_code=202)

    return await once(request, None, wiring, data, work)


@get("/v1/admin/operations")
async def list_operations(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """Moves, newest first; `tenant` and `state` filter."""
    _, _, limit = parameters.page(request)
    named = request.query_params.get("tenant")
    tenant = await tenants.found(wiring, named) if named else None
    state = request.query_params.get("state") or None
    if state is not None and state not in _STATES:
        raise InvalidParameterError(f"state must be one of {', '.join(_STATES)}.")
    cursor = asked_cursor(request)
    bad_cursor = InvalidParameterError("cursor is not one that this service gave.")
    found = await wiring.operations.page(
        tenant_id=tenant.tenant_id if tenant else None,
        state=state,
        before=_uuid(cursor, bad_cursor) if cursor else None,
        limit=limit,
    )
    following = cursor_after(str(found[-1].operation_id)) if len(found) == limit else None
    views = [operation_view(operation) for operation in found]
    return success({"operations": views, "next_cursor": following})


@get("/v1/admin/operations/{operation_id:str}")
async def get_operation(operation_id: str, wiring: Wiring) -> Response[bytes]:
    """One move, with its progress."""
    return success(operation_view(await _found(wiring, operation_id)))


@post("/v1/admin/operations/{operation_id:str}/cancel", status_code=202)
async def cancel_operation(
    request: Request[Any, Any, Any], operation_id: str, wiring: Wiring
) -> Response[bytes]:
    """Have a move undone: what went goes back."""

    async def work(effect: Effect) -> Response[bytes]:
        operation = await _found(wiring, operation_id)
        if effect.since is not None and operation.cancel_requested:  # by the first try
            return success(operation_view(operation), "Accepted", status_code=202)
        cancelled = await wiring.operations.cancel(operation, actor=actor_operator(request))
        if cancelled is None:
            raise ConflictingError("This operation has ended.")
        return success(operation_view(cancelled), "Accepted", status_code=202)

    return await once(request, None, wiring, None, work)


@get("/v1/admin/partitions")
async def list_partitions(wiring: Wiring) -> Response[bytes]:
    """Partitions with their sizes, and which tenants the policy would move, and why."""
    partitions = await wiring.operations.partition_sizes()
    sizes = await wiring.operations.tenant_sizes()
    proposals = wiring.settings.move_policy.proposals(sizes, partitions)
    return success(
        {
            "partitions": [partition_view(partition) for partition in partitions],
            "would_move": [proposal_view(proposal) for proposal in proposals],
        }
    )


async def _asked_for(
    request: Request[Any, Any, Any], named: str, wiring: Wiring, body: PlacementBody, effect: Effect
) -> Operation:
    tenant = await tenants.found(wiring, named)
    target = await _target(wiring, body.placement, tenant.placement)
    if target is None and tenant.placement not in POOL_PLACEMENTS:
        raise ConflictingError("The tenant has a partition of its own already.")
    return await wiring.operations.request(
        tenant,
        target,
        actor=actor_operator(request),
        reason=body.reason,
        operation_id=effect.effect_id,
    )


async def _target(wiring: Wiring, placement: Literal["dedicated", "pool"] | int, source: int) -> int | None:
    if placement == "dedicated":
        return None
    if placement == "pool":
        return emptiest_pool(await wiring.operations.partition_sizes(), but=source)
    if placement not in POOL_PLACEMENTS:
        known = f"{POOL_PLACEMENTS[0]} to {POOL_PLACEMENTS[-1]}"
        raise InvalidBodyError(f"A tenant moves to dedicated, pool, or a pool partition from {known}.")
    return placement


async def _found(wiring: Wiring, operation_id: str) -> Operation:
    missing = NotThereError("There is no such operation.")
    operation = await wiring.operations.get(_uuid(operation_id, missing))
    if operation is None:
        raise missing
    return operation


def _uuid(text: str, otherwise: Exception) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise otherwise from None


operations_router = Router(
    "/",
    route_handlers=[move_tenant, list_operations, get_operation, cancel_operation, list_partitions],
    guards=[require_operator],
)
