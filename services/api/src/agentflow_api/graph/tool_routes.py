"""`/v1/graph`: the agent's state, its tools, those of its tenant's clients, and what it left unfinished."""

import re
from typing import Annotated, Any, Final

from litestar import Request, Response
from pydantic import BaseModel, Field, field_validator

from agentflow.core.graph import ToolNode
from agentflow.errors import ThreadNotFoundError
from agentflow_api.graph.agents import agent, agent_name
from agentflow_api.http import parameters
from agentflow_api.http.admission import RUNS, run_of
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.problems import InvalidBodyError
from agentflow_api.http.routing import get, post
from agentflow_api.wiring import Wiring
from agentflow_hosting.remote_tools import MOST_TOOLS, RemoteTool, TooManyToolsError, by_node
from agentflow_hosting.views import public_state
from agentflow_tenancy import GRAPH_INVOKE, Principal

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_MOST_SCHEMA_CHARACTERS: Final = 20_000


class ThreadRequest(BaseModel):
    """Body of `stop` and `fix`."""

    thread_id: str | int
    config: dict[str, Any] | None = None


class ToolDescription(BaseModel):
    """A tool that runs at the client."""

    node_name: Annotated[str, Field(min_length=1, max_length=255)]
    name: str
    description: Annotated[str, Field(max_length=10_000)] = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})

    @field_validator("name")
    @classmethod
    def _is_a_tool_s_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a tool's name is 1 to 64 of A-Z a-z 0-9 _ -")
        return name

    @field_validator("parameters")
    @classmethod
    def _is_short(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if len(str(parameters)) > _MOST_SCHEMA_CHARACTERS:
            raise ValueError(f"a schema has at most {_MOST_SCHEMA_CHARACTERS} characters")
        return parameters


class SetupRequest(BaseModel):
    """Body of `setup`."""

    tools: Annotated[list[ToolDescription], Field(max_length=MOST_TOOLS)]


@get("/v1/graph:StateSchema")
async def get_state_schema(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """The JSON schema of the agent's state."""
    principal.require(GRAPH_INVOKE)
    return success(agent(request, principal, wiring).blueprint.state_type.model_json_schema())


@get("/tools")
async def get_tools(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The tools of the agent's tool nodes, with those that the tenant's clients run."""
    principal.require(GRAPH_INVOKE)
    graph, name = agent(request, principal, wiring), agent_name(request, principal, wiring)
    remote = by_node(await wiring.remote_tools.of(principal.tenant.tenant_id, name, within_s=0))
    nodes: list[dict[str, Any]] = []
    for node_name, node in graph.blueprint.topology.nodes.items():
        if isinstance(node.function, ToolNode):
            tools = node.function.describe(remote.get(node_name, ()))
            nodes.append({"node_name": node_name, "tool_count": len(tools), "tools": tools})
    count = sum(len(node["tools"]) for node in nodes)
    return success({"node_count": len(nodes), "tool_count": count, "nodes": nodes})


@post("/setup", status_code=200)
async def set_up(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """Register tools that run at the client: for this agent, and for this tenant alone.

    One of the same node and name takes the place of what was there.
    """
    principal.require(GRAPH_INVOKE)
    graph, name = agent(request, principal, wiring), agent_name(request, principal, wiring)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(SetupRequest, body)
    for place, tool in enumerate(asked.tools):
        node = graph.blueprint.topology.nodes.get(tool.node_name)
        if node is None or not isinstance(node.function, ToolNode):
            raise _invalid(place, "node_name", "is no tool node of this agent")
        if any(known["name"] == tool.name for known in node.function.describe()):
            raise _invalid(place, "name", "is the name of a tool of the agent itself")
    tools = {(tool.node_name, tool.name): tool for tool in asked.tools}
    given = [
        RemoteTool(tool.node_name, tool.name, tool.description, tool.parameters) for tool in tools.values()
    ]

    async def work(_: Effect) -> Response[bytes]:
        try:
            await wiring.remote_tools.put(principal.tenant.tenant_id, name, given)
        except TooManyToolsError as error:
            raise InvalidBodyError(str(error)) from error
        done = "The tools are registered."
        return success({"success": True, "message": done, "registered_tools": len(given)})

    return await once(request, principal, wiring, body, work)


@post("/stop", status_code=200)
async def stop(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """Have the thread's run stop at its next node boundary."""
    principal.require(GRAPH_INVOKE)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    thread_id = _public(validated(ThreadRequest, body).thread_id)
    stored_id = principal.stored_id(thread_id)
    graph = agent(request, principal, wiring)

    async def work(_: Effect) -> Response[bytes]:
        if await wiring.store.get_thread(principal.scope, stored_id) is None:
            raise ThreadNotFoundError("There is no such thread.")
        stopped = await graph.astop({"thread_id": stored_id, "scope": principal.scope})
        running = bool(stopped["running"])
        return success(
            {
                "success": True,
                "message": "The run stops at its next node boundary." if running else "No run is under way.",
                "thread_id": thread_id,
                "stopped_at": None,
                "ok": bool(stopped["ok"]),
                "running": running,
                "reason": None if running else "not_running",
            }
        )

    return await once(request, principal, wiring, body, work)


@post("/fix", status_code=200, opt={RUNS: True})
async def fix(request: Request[Any, Any, Any], principal: Principal, wiring: Wiring) -> Response[bytes]:
    """Take out of the thread what interrupted tool calls left in it."""
    principal.require(GRAPH_INVOKE)
    graph = agent(request, principal, wiring)
    body = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    thread_id = _public(validated(ThreadRequest, body).thread_id)

    async def work(effect: Effect) -> Response[bytes]:
        state, count = await graph.afix(
            {
                "thread_id": principal.stored_id(thread_id),
                "scope": principal.scope,
                "run_id": str(effect.effect_id),
                "token_budget": run_of(request),
            }
        )
        done = f"{count} messages were taken out." if count else "There was nothing to fix."
        shown = public_state(state.model_dump(mode="json", warnings="none"), principal)
        return success({"success": True, "message": done, "removed_count": count, "state": shown})

    return await once(request, principal, wiring, body, work)


def _public(thread_id: str | int) -> str:
    return parameters.thread_id(str(thread_id))


def _invalid(place: int, field: str, problem: str) -> InvalidBodyError:
    detail = {"loc": ["body", "tools", place, field], "msg": problem, "type": "value_error"}
    return InvalidBodyError(f"tools.{place}.{field} {problem}.", [detail])
