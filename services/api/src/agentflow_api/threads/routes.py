"""`/v1/threads`: listing, reading and deleting. A thread of somebody else is a missing one."""

from typing import Any

from litestar import Request, Response, Router
from litestar.response import Stream

from agentflow.errors import ThreadNotFoundError
from agentflow_api.http import parameters
from agentflow_api.http.body import read_json
from agentflow_api.http.envelope import success, success_text
from agentflow_api.http.json_lines import wants_json_lines
from agentflow_api.http.problems import InvalidBodyError
from agentflow_api.http.routing import delete, get
from agentflow_api.threads.attributes import patch_thread
from agentflow_api.threads.downloading import download_messages
from agentflow_api.threads.editing import (
    add_messages,
    delete_message,
    delete_state,
    get_message,
    put_state,
)
from agentflow_api.threads.views import state_view, thread_view, thread_with_interrupts
from agentflow_api.wiring import Wiring
from agentflow_hosting.message_text import messages_text
from agentflow_tenancy import THREADS_READ, THREADS_WRITE, Principal

_MISSING = "There is no such thread."


@get("/")
async def list_threads(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """The tenant's threads, last changed first."""
    principal.require(THREADS_READ)
    search, offset, limit = parameters.page(request)
    found = await wiring.store.list_threads(
        principal.scope, search=search, offset=offset, limit=limit, id_prefix=principal.stored_id("")
    )
    return success({"threads": [thread_view(info, principal) for info in found]})


@get("/{thread_id:str}")
async def get_thread(thread_id: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """One thread's attributes, how its latest run stands, and what it waits for."""
    principal.require(THREADS_READ)
    info = await wiring.store.get_thread(principal.scope, _stored(principal, thread_id))
    if info is None:
        raise ThreadNotFoundError(_MISSING)
    return success({"thread_data": {"thread": thread_with_interrupts(info, principal)}})


@get("/{thread_id:str}/state")
async def get_state(thread_id: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """One thread's latest state."""
    principal.require(THREADS_READ)
    snapshot = await wiring.store.load(principal.scope, _stored(principal, thread_id))
    if snapshot is None:
        raise ThreadNotFoundError(_MISSING)
    return success({"state": state_view(snapshot, principal, thread_id)})


@get("/{thread_id:str}/messages")
async def list_messages(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes] | Stream:
    """One thread's messages, oldest first.

    As JSON lines, one message a line, all of them come in one answer.
    """
    principal.require(THREADS_READ)
    search, offset, limit = parameters.page(request)
    version = parameters.whole(request, "version")
    if wants_json_lines(request):
        return await download_messages(request, _stored(principal, thread_id), principal, wiring, version)
    rows = await wiring.store.list_messages(
        principal.scope, _stored(principal, thread_id), search=search, offset=offset, limit=limit
    )
    return success_text(f'{{"messages":{messages_text(rows)}}}')


@delete("/{thread_id:str}", status_code=200)
async def delete_thread(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Delete a thread with all it has, runs too. The body, `{"config": {}}` or nothing, says nothing more."""
    principal.require(THREADS_WRITE)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    if body is not None and not isinstance(body, dict):
        raise InvalidBodyError("The body must be a JSON object, or empty.")
    if not await wiring.store.delete_thread(principal.scope, _stored(principal, thread_id)):
        raise ThreadNotFoundError(_MISSING)
    await wiring.quotas.forget(principal)
    deleted = {"thread_id": thread_id}
    return success({"success": True, "message": "The thread was deleted.", "data": deleted})


def _stored(principal: Principal, thread_id: str) -> str:
    return principal.stored_id(parameters.thread_id(thread_id))


threads_router = Router(
    "/v1/threads",
    route_handlers=[
        list_threads,
        get_thread,
        get_state,
        list_messages,
        delete_thread,
        patch_thread,
        put_state,
        delete_state,
        add_messages,
        get_message,
        delete_message,
    ],
)
