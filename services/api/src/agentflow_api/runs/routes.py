"""`/v1/threads/{thread_id}/runs` and `/v1/runs`: runs as resources."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, Router

from agentflow.errors import ThreadNotFoundError
from agentflow_api.graph.agents import agent_name
from agentflow_api.http import parameters
from agentflow_api.http.admission import QUEUES, WAITS, run_of, started_run
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.cursors import asked_cursor, cursor_after
from agentflow_api.http.envelope import success
from agentflow_api.http.fields import field_of
from agentflow_api.http.idempotency import Effect, once, once_found
from agentflow_api.http.long_answers import LongAnswer
from agentflow_api.http.problems import NotThereError
from agentflow_api.http.routing import get, post
from agentflow_api.runs import service
from agentflow_api.runs.schemas import CancelRequest, RunRequest
from agentflow_api.runs.streaming import streamed, wants_events
from agentflow_api.runs.views import run_view
from agentflow_api.runs.waiting import until_over
from agentflow_api.wiring import Wiring
from agentflow_hosting.run_repository import NEWEST
from agentflow_hosting.runs import STATUSES, RunRecord, RunStatus
from agentflow_tenancy import GRAPH_INVOKE, THREADS_READ, Principal


@post("/", status_code=202, opt={QUEUES: True})
async def create_run(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A run in the background: queued, carried out by a worker, surviving its crash."""

    async def answered(run: RunRecord) -> Response[bytes]:
        return success({"run": run_view(run, principal)}, status_code=202)

    return await _make(request, thread_id, principal, wiring, answered)


@post("/wait", status_code=200, opt={QUEUES: True, WAITS: True})
async def wait_for_run(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A run in the background, answered when it is over. It goes on when the caller goes away."""

    async def answered(run: RunRecord) -> Response[bytes]:
        return await _ended(request, run, principal, wiring)

    return await _make(request, thread_id, principal, wiring, answered)


@post("/stream", status_code=200)
async def stream_run(
    request: Request[Any, Any, Any], thread_id: str, credential: Principal, wiring: Wiring
) -> LongAnswer:
    """A run that begins at once, as server-sent events. It goes on when the caller goes away."""
    credential.require(GRAPH_INVOKE)
    async with started_run(request, credential, wiring) as budget:
        body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
        asked = validated(RunRequest, body)
        name = agent_name(request, credential, wiring)
        public_id = parameters.thread_id(thread_id)

        async def work(effect: Effect) -> RunRecord:
            return await service.start(
                wiring, credential, service.Wanted(name, public_id, asked, effect), budget
            )

        run = await once_found(request, credential, wiring, body, work)
    await wiring.reader.check_kept(run, -1)
    return streamed(wiring, credential, run, events=True, cancels=asked.on_disconnect == "cancel")


@get("/")
async def list_thread_runs(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A thread's runs, newest first."""
    return await _page(request, principal, wiring, _stored(principal, thread_id))


@get("/")
async def list_runs(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The tenant's runs, newest first."""
    return await _page(request, principal, wiring, None)


@get("/{run_id:str}")
async def get_run(thread_id: str, run_id: str, principal: Principal, wiring: Wiring) -> Response[bytes]:
    """One run."""
    run = await _found(thread_id, run_id, principal, wiring)
    return success({"run": run_view(run, principal)})


@post("/{run_id:str}/cancel", status_code=200, opt={WAITS: True})
async def cancel_run(
    request: Request[Any, Any, Any], thread_id: str, run_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Have a run end at its next node boundary; with `rollback` the thread is put back, too."""
    principal.require(GRAPH_INVOKE)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(CancelRequest, {} if body is None else body)
    stored_id = _stored(principal, thread_id)

    async def work(effect: Effect) -> Response[bytes]:
        run = await service.find(wiring, principal, stored_id, run_id)
        if not (run.is_over and effect.since):  # an earlier try may have done it
            run = await service.cancel(wiring, principal, run, asked.action)
        if asked.wait:
            run = await until_over(request, principal, wiring, run) or run
        return success({"run": run_view(run, principal)})

    return await once(request, principal, wiring, body, work)


@get("/{run_id:str}/join", opt={WAITS: True})
async def join_run(
    request: Request[Any, Any, Any], thread_id: str, run_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Wait for a run's end, and get what an invoke would have answered."""
    return await _ended(request, await _found(thread_id, run_id, principal, wiring), principal, wiring)


@get("/{run_id:str}/stream")
async def rejoin_run(
    request: Request[Any, Any, Any], thread_id: str, run_id: str, principal: Principal, wiring: Wiring
) -> LongAnswer:
    """What a run says behind a chunk, until it is over: a JSON object a line, or server-sent events."""
    run = await _found(thread_id, run_id, principal, wiring)
    events = wants_events(request)
    after, seen = parameters.whole(request, "after"), _last_event_id(request)
    if events and seen is not None:
        after = seen  # a browser that comes back asks for the same address as at first
    after = -1 if after is None else after
    await wiring.reader.check_kept(run, after)
    return streamed(wiring, principal, run, after=after, events=events)


async def _make(
    request: Request[Any, Any, Any],
    thread_id: str,
    principal: Principal,
    wiring: Wiring,
    answered: Callable[[RunRecord], Awaitable[Response[bytes]]],
) -> Response[bytes]:
    principal.require(GRAPH_INVOKE)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(RunRequest, body)
    name = agent_name(request, principal, wiring)

    async def work(effect: Effect) -> Response[bytes]:
        public_id = parameters.thread_id(thread_id)
        wanted = service.Wanted(name, public_id, asked, effect)
        run = await service.make(wiring, principal, wanted, run_of(request))
        effect.is_made = True
        return await answered(run)

    return await once(request, principal, wiring, body, work)


async def _ended(
    request: Request[Any, Any, Any], run: RunRecord, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    ended = await until_over(request, principal, wiring, run)
    if ended is None:
        raise NotThereError("The run was deleted while it was waited for.")
    left = await service.result(wiring, principal, ended)
    return success({"run": run_view(ended, principal), "result": left})


async def _found(thread_id: str, run_id: str, principal: Principal, wiring: Wiring) -> RunRecord:
    principal.require(THREADS_READ)
    return await service.find(wiring, principal, _stored(principal, thread_id), run_id)


async def _page(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring, thread_id: str | None
) -> Response[bytes]:
    principal.require(THREADS_READ)
    _, _, limit = parameters.page(request)
    cursor = asked_cursor(request)
    if cursor and not (cursor.isdecimal() and len(cursor) < 19):
        raise parameters.invalid("cursor", "is not one that this service gave")
    page = await wiring.run_repository.page(
        principal.tenant.tenant_id,
        thread_id=thread_id,
        user_id=principal.user_id,
        status=_status(request),
        before=int(cursor) if cursor else NEWEST,
        limit=limit,
    )
    if not page and thread_id and not await wiring.store.get_thread(principal.scope, thread_id):
        raise ThreadNotFoundError("There is no such thread.")
    following = cursor_after(str(page[-1].order_no)) if len(page) == limit else None
    return success({"runs": [run_view(run, principal) for run in page], "next_cursor": following})


def _status(request: Request[Any, Any, Any]) -> RunStatus | None:
    text = request.query_params.get("status")
    if not text:
        return None
    for status in STATUSES:
        if text == status:
            return status
    raise parameters.invalid("status", f"must be one of {', '.join(STATUSES)}")


def _last_event_id(request: Request[Any, Any, Any]) -> int | None:
    text = field_of(request, b"last-event-id")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise parameters.invalid("last-event-id", "must be the id of an event of this run")
    return int(text)


def _stored(principal: Principal, thread_id: str) -> str:
    return principal.stored_id(parameters.thread_id(thread_id))


runs_router = Router("/v1/runs", route_handlers=[list_runs])
thread_runs_router = Router(
    "/v1/threads/{thread_id:str}/runs",
    route_handlers=[
        create_run,
        wait_for_run,
        stream_run,
        list_thread_runs,
        get_run,
        cancel_run,
        join_run,
        rejoin_run,
    ],
)
