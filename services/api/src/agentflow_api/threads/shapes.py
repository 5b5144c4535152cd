"""Threads, messages and states, as the document has them."""

from typing import Any, Final

from agentflow.core.state import Message
from agentflow.core.state.execution import ExecutionState
from agentflow_api.http.document.parameters import THREAD_ID
from agentflow_api.http.document.shapes import (
    ANYTHING,
    DATA,
    TIME,
    Shape,
    listed,
    maybe,
    of_model,
    one_of,
    plain,
    record,
    text,
)

SAID: Final[dict[str, Any]] = {
    "message_id": "0",
    "role": "user",
    "content": [{"type": "text", "text": "Where is my order?"}],
}
MESSAGE: Final = of_model(
    Message,
    {
        "message_id": "3f2a9c",
        "role": "assistant",
        "content": [{"type": "text", "text": "It arrives tomorrow.", "annotations": []}],
        "delta": False,
        "tools_calls": None,
        "reasoning": None,
        "timestamp": 1772366400.0,
        "metadata": {},
        "usages": None,
        "raw": None,
        "parsed_content": None,
    },
    mode="serialization",
)
_EXECUTION: Final = of_model(
    ExecutionState,
    ExecutionState(current_node="__end__", step=2).model_dump(mode="json"),
    mode="serialization",
)
STATE: Final = record(
    "State",
    {
        "context": listed(MESSAGE),
        "context_summary": maybe(text("Asks for an order."), None),
        "execution_meta": _EXECUTION,
    },
    "context_summary",
    "execution_meta",
)
STATUS: Final = one_of("idle", "running", "interrupted", "error")
INTERRUPT: Final = record(
    "Interrupt",
    {
        "id": text("0198f3c2"),
        "node": text("approve"),
        "value": ANYTHING,
        "reason": maybe(text("approval")),
        "created_at": maybe(TIME),
    },
    "reason",
    "created_at",
)
_THREAD: Final = {
    "thread_id": THREAD_ID,
    "thread_name": maybe(text("Order 7391")),
    "user_id": maybe(text("u-17")),
    "metadata": DATA,
    "updated_at": TIME,
    "expires_at": maybe(TIME, None),
    "run_id": maybe(text("0198f3c2-7a51-7c3e-9d43-1f0e5a6b7c8d")),
    "status": STATUS,
}
THREAD: Final = record("Thread", _THREAD)
FOUND_THREAD: Final = record("FoundThread", {**_THREAD, "created_at": TIME})


def whole_thread(*, waits: bool) -> Shape:
    """`{"thread_data": {"thread": ...}}`."""
    named = record("ThreadWithInterrupts", {**_THREAD, "interrupts": listed(INTERRUPT)}) if waits else THREAD
    return plain({"thread_data": plain({"thread": named})})
