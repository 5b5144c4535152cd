"""`/v1/threads/search` and `/v1/threads/delete`: threads by what they are."""

from typing import Any

from litestar import Request, Response, Router

from agentflow_api.http import parameters
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.problems import InvalidBodyError
from agentflow_api.http.routing import delete, get, handler_of, patch, post
from agentflow_api.threads import routes as threads
from agentflow_api.threads.attributes import patch_thread
from agentflow_api.threads.search import service
from agentflow_api.threads.search.places import cursor_behind, place_of
from agentflow_api.threads.search.schemas import DeleteRequest, SearchRequest
from agentflow_api.threads.views import thread_view
from agentflow_api.wiring import Wiring
from agentflow_tenancy import THREADS_READ, THREADS_WRITE, Principal


@post("/search", status_code=200)
async def search_threads(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Threads that meet every condition, a page in an order."""
    principal.require(THREADS_READ)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(SearchRequest, {} if body is None else body)
    after = place_of(asked.cursor, asked.sort, principal) if asked.cursor else None
    found = await wiring.store.search_threads(
        principal.scope, asked.wanted(), sort=asked.sort, after=after, limit=asked.limit
    )
    following = cursor_behind(found[-1], asked.sort, principal) if len(found) == asked.limit else None
    views = [{**thread_view(info, principal), "created_at": info.created_at.isoformat()} for info in found]
    return success({"threads": views, "next_cursor": following})


@post("/delete", status_code=200)
async def delete_threads(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Delete threads that meet every condition; a dry run, which it is unless said otherwise, only counts."""
    principal.require(THREADS_WRITE)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(DeleteRequest, body)
    ids = None if asked.ids is None else [principal.stored_id(parameters.thread_id(one)) for one in asked.ids]
    wanted = asked.wanted(ids)
    if wanted.is_any:
        raise InvalidBodyError("Name at least one condition, or the ids of the threads to delete.")
    if asked.dry_run:
        return success(await service.told(wiring.store, principal, wanted, asked.limit))

    async def work(_: Effect) -> Response[bytes]:
        return success(await service.deleted(wiring, principal, wanted, asked.limit))

    return await once(request, principal, wiring, body, work)


def _named(name: str) -> list[Any]:
    """What reaches a thread of that name: a route of its own has taken its path, for all methods."""

    @get(f"/{name}", include_in_schema=False, name=f"get_thread_{name}")
    async def get_named(principal: Principal, wiring: Wiring) -> Response[bytes]:
        return await handler_of(threads.get_thread)(name, principal, wiring)

    @delete(f"/{name}", status_code=200, include_in_schema=False, name=f"delete_thread_{name}")
    async def delete_named(
        request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
    ) -> Response[bytes]:
        return await handler_of(threads.delete_thread)(request, name, principal, wiring)

    @patch(f"/{name}", include_in_schema=False, name=f"patch_thread_{name}")
    async def patch_named(
        request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
    ) -> Response[bytes]:
        return await handler_of(patch_thread)(request, name, principal, wiring)

    return [get_named, delete_named, patch_named]


search_router = Router(
    "/v1/threads",
    route_handlers=[search_threads, delete_threads, *_named("search"), *_named("delete")],
)
