"""`/v1/threads/{thread_id}/history`, `/fork` and `/copy`: what a thread was, and what comes of it."""

from typing import Any

from litestar import Request, Response, Router

from agentflow_api.graph.agents import agent
from agentflow_api.history import service
from agentflow_api.history.schemas import MAX_VERSION, CopyRequest, ForkRequest
from agentflow_api.history.views import checkpoint_view
from agentflow_api.http import parameters
from agentflow_api.http.admission import RUNS, run_of
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.cursors import asked_cursor, cursor_after
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.routing import get, post
from agentflow_api.threads.views import state_view
from agentflow_api.wiring import Wiring
from agentflow_tenancy import THREADS_READ, THREADS_WRITE, Principal


@get("/history")
async def list_history(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A thread's checkpoints, newest first; `before` a version, or behind a `cursor`."""
    principal.require(THREADS_READ)
    _, _, limit = parameters.page(request)
    found = await service.page(
        wiring.store, principal, _stored(principal, thread_id), _before(request), limit
    )
    following = cursor_after(str(found[-1].seq)) if len(found) == limit else None
    return success({"checkpoints": [checkpoint_view(info) for info in found], "next_cursor": following})


@get("/history/{seq:str}")
async def get_checkpoint(thread_id: str, seq: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """One checkpoint."""
    principal.require(THREADS_READ)
    info = await service.one(wiring.store, principal, _stored(principal, thread_id), _version(seq))
    return success({"checkpoint": checkpoint_view(info)})


@get("/history/{seq:str}/state")
async def get_state_at(thread_id: str, seq: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The thread's state as it was at a checkpoint."""
    principal.require(THREADS_READ)
    stored_id = _stored(principal, thread_id)
    snapshot = await wiring.store.load_at(principal.scope, stored_id, _version(seq))
    return success({"state": state_view(snapshot, principal, thread_id)})


@post("/fork", opt={RUNS: True})
async def fork_thread(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """An older state as the latest one: of the thread itself, or of a new one. Nothing runs."""
    principal.require(THREADS_WRITE)
    source = _stored(principal, thread_id)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(ForkRequest, body)
    target = None if asked.to_thread is None else _stored(principal, asked.to_thread)
    graph = agent(request, principal, wiring)
    name = thread_id if asked.to_thread is None else asked.to_thread

    async def work(effect: Effect) -> Response[bytes]:
        made = service.Made(graph, principal, run_of(request), effect)
        version = await service.fork(made, source, target, asked)
        status = 200 if target is None else 201
        return success({"thread_id": name, "checkpoint": version}, status_code=status)

    return await once(request, principal, wiring, body, work)


@post("/copy", opt={RUNS: True})
async def copy_thread(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A thread as another one, with its whole history or without. Nothing runs."""
    principal.require(THREADS_WRITE)
    source = _stored(principal, thread_id)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(CopyRequest, {} if body is None else body)
    graph = agent(request, principal, wiring)

    async def work(effect: Effect) -> Response[bytes]:
        target = effect.effect_id.hex if asked.to_thread is None else asked.to_thread
        made = service.Made(graph, principal, run_of(request), effect)
        copy = service.copy if asked.with_history else service.copy_latest
        version = await copy(made, source, _stored(principal, target))
        return success({"thread_id": target, "checkpoint": version}, status_code=201)

    return await once(request, principal, wiring, body, work)


def _before(request: Request[Any, Any, Any]) -> int | None:
    cursor = asked_cursor(request)
    if not cursor:
        return parameters.whole(request, "before")
    if not (cursor.isdecimal() and len(cursor) <= 10 and int(cursor) <= MAX_VERSION):
        raise parameters.invalid("cursor", "is not one that this service gave")
    return int(cursor)


def _version(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and 1 <= int(text) <= MAX_VERSION):
        raise parameters.invalid("seq", "must be the number of a checkpoint")
    return int(text)


def _stored(principal: Principal, thread_id: str) -> str:
    return principal.stored_id(parameters.thread_id(thread_id))


history_router = Router(
    "/v1/threads/{thread_id:str}",
    route_handlers=[list_history, get_checkpoint, get_state_at, fork_thread, copy_thread],
)
