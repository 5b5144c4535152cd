"""`/console/threads`: finding threads, and reading one at any of its checkpoints."""

import asyncio
from typing import Any

from litestar import Response

from agentflow_api.console import forms
from agentflow_api.console.backend import ApiRefusedError
from agentflow_api.console.pages import TENANT, Page, at, shown
from agentflow_api.console.refusals import INVALID, refusal_of
from agentflow_api.console.tenant.addresses import thread_address
from agentflow_api.console.tenant.showing import agents_of, part, show
from agentflow_api.console.tenant.threads.conditions import SORTS, STATUSES, ConditionError, conditions_in
from agentflow_api.console.tenant.threads.point import point_of
from agentflow_api.console.tenant.threads.trace import events_of, waterfall_of
from agentflow_api.http.problems import NotThereError


@shown("/console/threads", TENANT)
async def list_threads(page: Page) -> Response[str]:
    """A page of the threads that meet what is asked for."""
    if opened := page.query.get("open", "").strip():
        return page.go(thread_address(opened))
    asked, cursor = conditions_in(page.query), page.query.get("cursor") or None
    found: dict[str, Any] = {"threads": [], "next_cursor": None}
    try:
        found = await page.api.send("POST", "/v1/threads/search", asked.asked(cursor))
    except ConditionError as error:
        page.refusal = refusal_of(forms.invalid(error.name, str(error)))
    except ApiRefusedError as error:
        if error.status != INVALID:
            raise
        page.refusal = refusal_of(error)
    return show(
        page,
        "tenant/threads/list.html",
        asked=asked,
        sorts=SORTS,
        statuses=STATUSES,
        cursor=cursor,
        threads=found["threads"],
        following=found["next_cursor"],
        looked_for=not asked.is_any,
    )


@shown("/console/threads/{thread_id:str}", TENANT)
async def show_thread(page: Page, thread_id: str) -> Response[str]:
    """A thread's checkpoints, and all there is to see at one of them."""
    point, (agents, agent) = await asyncio.gather(
        point_of(page, thread_id), agents_of(page, page.given("agent"))
    )
    return show(page, "tenant/threads/thread.html", **point, agents=agents, agent=agent)


@shown("/console/threads/{thread_id:str}/runs/{run_id:str}", TENANT)
async def show_run(page: Page, thread_id: str, run_id: str) -> Response[str]:
    """What a run did, and where its time went."""
    return show(page, "tenant/threads/run.html", **await _run(page, thread_id, run_id))


@shown("/console/threads/{thread_id:str}/runs/{run_id:str}/part", TENANT)
async def show_run_part(page: Page, thread_id: str, run_id: str) -> Response[str]:
    """The same as it is now, without what is around it."""
    return part(page, "tenant/threads/run_part.html", **await _run(page, thread_id, run_id))


async def _run(page: Page, thread_id: str, run_id: str) -> dict[str, Any]:
    found = await page.api.get(at("/v1/observability", thread_id), run_id=run_id)
    run = found["run"]
    if run is None:
        raise NotThereError("There is no such run in this thread, or its checkpoints are kept no longer.")
    return {
        "thread_id": thread_id,
        "run": run,
        "waterfall": waterfall_of(run),
        "events": events_of(run),
    }


THREADS_PAGES = [list_threads, show_thread, show_run, show_run_part]
