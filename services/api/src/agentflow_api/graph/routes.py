"""`/v1/graph`: the agent's shape, and running it."""

from typing import Any

from litestar import Request, Response, Router

from agentflow_api.graph import service
from agentflow_api.graph.agents import agent, agent_name
from agentflow_api.graph.tool_routes import fix, get_tools, set_up, stop
from agentflow_api.http.admission import RUNS, run_of, started_run
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once, once_found
from agentflow_api.http.long_answers import LongAnswer
from agentflow_api.http.routing import get, post
from agentflow_api.runs.service import Wanted, start
from agentflow_api.runs.streaming import streamed, wants_events
from agentflow_api.wiring import Wiring
from agentflow_hosting.invoke_request import InvokeRequest, StreamRequest
from agentflow_hosting.runs import RunRecord
from agentflow_tenancy import GRAPH_INVOKE, Principal


@get("/")
async def get_graph(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The agent's nodes and edges."""
    principal.require(GRAPH_INVOKE)
    return success(service.describe(agent(request, principal, wiring)))


@get("/agents")
async def list_agents(principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The agents that the tenant may choose by `/a/{agent}`, and the one that serves without it."""
    principal.require(GRAPH_INVOKE)
    return success(service.agents_of(principal.tenant, wiring.agents))


@post("/invoke", status_code=200, opt={RUNS: True})
async def invoke(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """Run the agent on a thread and answer when it is done."""
    principal.require(GRAPH_INVOKE)
    graph, name = agent(request, principal, wiring), agent_name(request, principal, wiring)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(InvokeRequest, body)

    async def work(effect: Effect) -> Response[bytes]:
        return success(
            await service.invoke(graph, wiring, principal, asked, run_of(request), agent=name, effect=effect)
        )

    return await once(request, principal, wiring, body, work)


@post("/stream", status_code=200)
async def stream(request: Request[Any, Any, Any], credential: Principal, wiring: Wiring) -> LongAnswer:
    """Run the agent on a thread and answer as it goes on, a JSON object a line.

    It goes on when the caller goes away, who may read on at `/v1/threads/{thread_id}/runs/{run_id}/stream`;
    the header fields `x-thread-id` and `x-run-id` name both.
    """
    credential.require(GRAPH_INVOKE)
    async with started_run(request, credential, wiring) as budget:
        body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
        asked = validated(StreamRequest, body)
        name = agent_name(request, credential, wiring)

        async def work(effect: Effect) -> RunRecord:
            thread_id = service.public_thread_id(asked.open_config(), effect)
            return await start(wiring, credential, Wanted(name, thread_id, asked, effect), budget)

        run = await once_found(request, credential, wiring, body, work)
    await wiring.reader.check_kept(run, -1)
    return streamed(wiring, credential, run, events=wants_events(request))


graph_router = Router(
    "/v1/graph", route_handlers=[get_graph, list_agents, invoke, stream, get_tools, set_up, stop, fix]
)
