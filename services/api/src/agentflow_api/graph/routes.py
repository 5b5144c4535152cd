"""`/v1/graph`: the agent's shape, and running it."""

from typing import Any

from litestar import Request, Response, Router, get, post

from agentflow.core.graph import CompiledGraph
from agentflow_api.graph import service
from agentflow_api.graph.schemas import InvokeRequest
from agentflow_api.http.admission import RUNS, run_of
from agentflow_api.http.agent_prefix import AGENT_KEY
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.envelope import success
from agentflow_api.wiring import Wiring
from agentflow_tenancy import GRAPH_INVOKE, Principal


@get("/")
async def get_graph(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The agent's nodes and edges."""
    principal.require(GRAPH_INVOKE)
    return success(service.describe(_agent(request, principal, wiring)))


@post("/invoke", status_code=200, opt={RUNS: True})
async def invoke(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """Run the agent on a thread and answer when it is done."""
    principal.require(GRAPH_INVOKE)
    graph = _agent(request, principal, wiring)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(InvokeRequest, body)
    resumes = isinstance(body, dict) and "resume" in body
    answer = service.invoke(graph, wiring.runs, principal, asked, run_of(request), resumes=resumes)
    return success(await answer)


def _agent(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> CompiledGraph[Any]:
    """The agent the path names, or the tenant's default one."""
    name = request.scope.get(AGENT_KEY, principal.tenant.default_agent)
    return wiring.agents.find(str(name), principal.tenant.agents)


graph_router = Router("/v1/graph", route_handlers=[get_graph, invoke])
