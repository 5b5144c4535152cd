"""What the document says of agents and of running them."""

from typing import Any, Final

from agentflow_api.graph.tool_routes import SetupRequest, ThreadRequest
from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import THREAD_ID
from agentflow_api.http.document.shapes import (
    DATA,
    NO,
    TIME,
    YES,
    Shape,
    listed,
    maybe,
    of_model,
    one_of,
    plain,
    record,
    text,
    whole,
)
from agentflow_api.runs.document import LINES_OR_EVENTS, RESULT, STREAM_HEADERS
from agentflow_api.threads.shapes import SAID, STATE
from agentflow_hosting.invoke_request import InvokeRequest, StreamRequest

_FLAGS: Final = ("is_realtime", "checkpointer", "publisher", "store")
_WORDS: Final = ("checkpointer_type", "context_type", "id_generator", "id_type", "state_type")
_LISTS: Final = ("interrupt_before", "interrupt_after", "state_fields")
_INFO: Final = plain(
    {"node_count": whole(3), "edge_count": whole(2)}
    | dict.fromkeys(_FLAGS, NO)
    | dict.fromkeys(_WORDS, text("AgentState"))
    | dict.fromkeys(_LISTS, listed(text("context")))
)
_GRAPH: Final = record(
    "Graph",
    {
        "info": _INFO,
        "nodes": listed(plain({"id": text("assistant"), "name": text("assistant")})),
        "edges": listed(
            plain(
                {"id": text("__start__->assistant"), "source": text("__start__"), "target": text("assistant")}
            )
        ),
    },
)
_TOOL: Final = record(
    "Tool",
    {
        "name": text("find_order"),
        "description": text("Looks an order up."),
        "parameters": DATA.but({"type": "object", "properties": {"order": {"type": "string"}}}),
        "source": one_of("local", "remote"),
    },
)
_TOOLS: Final = plain(
    {
        "node_count": whole(1),
        "tool_count": whole(1),
        "nodes": listed(plain({"node_name": text("tools"), "tool_count": whole(1), "tools": listed(_TOOL)})),
    }
)
_STOPPED: Final = plain(
    {
        "success": YES,
        "message": text("The run stops at its next node boundary."),
        "thread_id": THREAD_ID,
        "stopped_at": maybe(TIME, None),
        "ok": YES,
        "running": YES,
        "reason": maybe(text("not_running"), None),
    }
)
_FIXED: Final = plain(
    {"success": YES, "message": text("1 messages were taken out."), "removed_count": whole(1), "state": STATE}
)
_SET_UP: Final = plain({"success": YES, "message": text("Done."), "registered_tools": whole(1)})
_TO_RUN: Final[dict[str, Any]] = {
    "messages": [SAID],
    "config": {"thread_id": "support-42"},
    "recursion_limit": 25,
}
_CLIENTS_TOOL: Final = {
    "node_name": "tools",
    "name": "show_map",
    "description": "Shows a place on a map.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
}
_THREAD: Final = of_model(ThreadRequest, {"thread_id": "support-42"})


def _graph(answer: Shape | None, *errors: int, **more: Any) -> Described:
    return Described("agents", answer, errors=(404, *errors), **more)


OPERATIONS: Final[Operations] = {
    "GET /v1/graph": _graph(_GRAPH),
    "GET /v1/graph/agents": _graph(
        plain({"agents": listed(text("assistant")), "default_agent": text("assistant")})
    ),
    "GET /v1/graph:StateSchema": _graph(DATA.but({"title": "AgentState", "type": "object"})),
    "GET /v1/graph/tools": _graph(_TOOLS),
    "POST /v1/graph/setup": _graph(
        _SET_UP, body=of_model(SetupRequest, {"tools": [_CLIENTS_TOOL]}), repeatable=True
    ),
    "POST /v1/graph/stop": _graph(_STOPPED, body=_THREAD, repeatable=True),
    "POST /v1/graph/fix": _graph(_FIXED, body=_THREAD, repeatable=True),
    "POST /v1/graph/invoke": _graph(RESULT, 500, body=of_model(InvokeRequest, _TO_RUN), repeatable=True),
    "POST /v1/graph/stream": _graph(
        None,
        410,
        body=of_model(StreamRequest, _TO_RUN),
        repeatable=True,
        streams=LINES_OR_EVENTS,
        headers=STREAM_HEADERS,
    ),
}
