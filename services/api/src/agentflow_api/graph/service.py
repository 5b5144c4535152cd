"""Running a hosted agent for a tenant."""

import uuid
from typing import Any

from agentflow.core.graph import CompiledGraph
from agentflow.core.state import Message
from agentflow_api.graph.running import RunningRuns
from agentflow_api.graph.schemas import InvokeRequest
from agentflow_api.http import parameters
from agentflow_api.http.problems import InvalidBodyError
from agentflow_api.threads.views import message_view, public_state
from agentflow_tenancy import Principal, Run


async def invoke(
    graph: CompiledGraph[Any],
    runs: RunningRuns,
    principal: Principal,
    request: InvokeRequest,
    run: Run,
    *,
    resumes: bool,
) -> Any:
    """Run to the end, a pause or a stop.

    Returns:
        `{"messages", "state", "context", "summary", "meta": {"is_new_thread", "thread_id"}}`.

    Raises:
        StoppingError: The process is about to end.
        QuotaExceededError: There is no room for a new thread.
        InvalidBodyError: Empty messages without a resume, or calls that only an assistant makes.
        What `CompiledGraph.ainvoke` raises.
    """
    _check(request, resumes=resumes)
    config = request.open_config()
    thread_id = _public_thread_id(config)
    given: dict[str, Any] = {"messages": request.messages} if request.messages else {}
    if request.initial_state:
        given["state"] = request.initial_state
    if resumes:
        given["resume"] = request.resume
    config |= {
        "thread_id": principal.stored_id(thread_id),
        "recursion_limit": request.recursion_limit,
        "scope": principal.scope,
        "user_id": principal.user_id,
        "token_budget": run,
    }
    if run.no_new_thread and not await graph.checkpointer.get_thread(principal.scope, config["thread_id"]):
        raise run.no_new_thread
    with runs.entered(graph, config):
        result = await graph.ainvoke(given, config, response_granularity=request.response_granularity)
    return _view(result, principal, thread_id)


def describe(graph: CompiledGraph[Any]) -> dict[str, Any]:
    """The graph's shape, `__start__` and `__end__` included."""
    blueprint = graph.blueprint
    nodes = ["__start__", *blueprint.topology.nodes, "__end__"]
    edges = blueprint.topology.drawn_edges()
    return {
        "info": {
            "node_count": len(nodes),
            "edge_count": len(edges),
            "is_realtime": False,
            "checkpointer": True,
            "publisher": False,
            "store": False,
            "checkpointer_type": type(graph.checkpointer).__name__,
            "context_type": "list[Message]",
            "id_generator": "uuid4",
            "id_type": "string",
            "state_type": blueprint.state_type.__name__,
            "interrupt_before": sorted(blueprint.interrupt_before),
            "interrupt_after": sorted(blueprint.interrupt_after),
            "state_fields": list(blueprint.state_type.model_fields),
        },
        "nodes": [{"id": name, "name": name} for name in nodes],
        "edges": [
            {"id": f"{source}->{target}", "source": source, "target": target} for source, target in edges
        ],
    }


def _check(request: InvokeRequest, *, resumes: bool) -> None:
    if not request.messages and not resumes:
        raise _invalid(["messages"], "Send at least one message, or `resume` to answer an interrupt.")
    for place, message in enumerate(request.every_message()):
        if message.tool_calls() or message.remote_tool_calls() or message.tools_calls:
            raise _invalid(["messages", place], "Tool calls are made by the agent, not by its client.")


def _public_thread_id(config: dict[str, Any]) -> str:
    """The thread of the client's config, a new one when it names none."""
    value = config.get("thread_id")
    if value is None or (isinstance(value, str) and not value.strip()):
        return uuid.uuid4().hex
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _invalid(["config", "thread_id"], "A thread id is text or a whole number.")
    return parameters.thread_id(value)


def _view(result: dict[str, Any], principal: Principal, thread_id: str) -> dict[str, Any]:
    state = result.get("state")
    context: list[Message] | None = result.get("context")
    return {
        "messages": [message_view(message) for message in result["messages"]],
        "state": None
        if state is None
        else public_state(state.model_dump(mode="json", warnings="none"), principal),
        "context": None if context is None else [message_view(message) for message in context],
        "summary": result.get("context_summary"),
        "meta": {"is_new_thread": result["meta"]["is_new_thread"], "thread_id": thread_id},
    }


def _invalid(place: list[Any], problem: str) -> InvalidBodyError:
    return InvalidBodyError(problem, [{"loc": ["body", *place], "msg": problem, "type": "value_error"}])
