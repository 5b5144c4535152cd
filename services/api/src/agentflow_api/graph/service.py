"""Running a hosted agent for a tenant."""

from collections.abc import Iterable
from typing import Any

from agentflow.core.graph import CompiledGraph
from agentflow.core.graph.resume import is_map
from agentflow.core.state import Message
from agentflow_api.http import parameters
from agentflow_api.http.idempotency import Effect
from agentflow_api.http.problems import InvalidBodyError
from agentflow_api.wiring import Wiring
from agentflow_hosting.agents.registry import AgentRegistry
from agentflow_hosting.invoke_request import InvokeRequest
from agentflow_hosting.views import result_view
from agentflow_tenancy import Principal, Run, Tenant


async def invoke(
    graph: CompiledGraph[Any],
    wiring: Wiring,
    principal: Principal,
    request: InvokeRequest,
    run: Run,
    *,
    agent: str,
    effect: Effect,
) -> Any:
    """Run to the end, a pause or a stop.

    Returns:
        `{"messages", "state", "context", "summary", "meta": {"is_new_thread", "thread_id"}}`.

    Raises:
        StoppingError: The process is about to end.
        QuotaExceededError: There is no room for a new thread.
        InvalidBodyError: Empty messages without a resume, or one that `check_messages` refuses.
        What `CompiledGraph.ainvoke` raises.
    """
    check(request)
    config = request.open_config()
    thread_id = public_thread_id(config, effect)
    request = await bound(wiring, principal, request, principal.stored_id(thread_id))
    config |= {
        "thread_id": principal.stored_id(thread_id),
        "recursion_limit": request.recursion_limit,
        "scope": principal.scope,
        "user_id": principal.user_id,
        "token_budget": run,
        "run_id": str(effect.effect_id),
        "remote_tools": await wiring.remote_tools.for_run(graph, principal.tenant.tenant_id, agent),
    }
    if effect.since is not None:
        config["rejoin_since"] = effect.since
    if run.no_new_thread and not await graph.checkpointer.get_thread(principal.scope, config["thread_id"]):
        run.refuse_new_thread()
    with wiring.runs.entered(graph, config):
        result = await graph.ainvoke(
            request.given(), config, response_granularity=request.response_granularity
        )
    return result_view(result, principal, thread_id)


async def bound[R: InvokeRequest](wiring: Wiring, principal: Principal, request: R, stored_id: str) -> R:
    """The request, with a plain answer bound to the only interrupt that can be meant: the one that waits now.

    Whoever gives the same answer at the same time is then told, instead of answering what is asked next.
    One read, of requests with a plain answer alone.
    """
    if not request.resumes or request.resume_id is not None:
        return request
    info = await wiring.store.get_thread(principal.scope, stored_id)
    waiting = [] if info is None else list(info.interrupts or ())
    if len(waiting) != 1 or is_map(request.resume, waiting):
        return request
    return request.model_copy(update={"resume": request.resume, "resume_id": waiting[0].id})


def agents_of(tenant: Tenant, registry: AgentRegistry) -> dict[str, Any]:
    """Names of the agents that a tenant may use, sorted, and its default one."""
    names = [name for name in registry.names if tenant.agents is None or name in tenant.agents]
    return {"agents": sorted(names), "default_agent": tenant.default_agent}


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


def check(request: InvokeRequest) -> None:
    """What no model of the body can say.

    Raises:
        InvalidBodyError: Empty messages without a resume, or one that `check_messages` refuses.
    """
    if not request.messages and not request.resumes and not request.replays:
        raise _invalid(
            ["messages"],
            "Send at least one message, `resume` to answer an interrupt, or a `checkpoint` to go on from.",
        )
    check_messages("messages", request.every_message())


def check_messages(name: str, messages: Iterable[Message]) -> None:
    """Refuse what only an assistant says, and ids that no path could carry.

    Args:
        name: Of the body's part that holds the messages.
        messages: A client's.

    Raises:
        InvalidBodyError: One of them calls tools, or has such an id.
    """
    for place, message in enumerate(messages):
        if message.tool_calls() or message.remote_tool_calls() or message.tools_calls:
            raise _invalid([name, place], "Tool calls are made by the agent, not by its client.")
        if (problem := parameters.id_problem(message.message_id)) is not None:
            raise _invalid([name, place, "message_id"], f"A message's id {problem}.")


def public_thread_id(config: dict[str, Any], effect: Effect) -> str:
    """The thread of the client's config, a new one when it names none."""
    value = config.get("thread_id")
    if value is None or (isinstance(value, str) and not value.strip()):
        return effect.effect_id.hex
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _invalid(["config", "thread_id"], "A thread id is text or a whole number.")
    return parameters.thread_id(value)


def _invalid(place: list[Any], problem: str) -> InvalidBodyError:
    return InvalidBodyError(problem, [{"loc": ["body", *place], "msg": problem, "type": "value_error"}])
