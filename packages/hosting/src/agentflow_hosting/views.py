"""Messages, states and results in the form clients read."""

from datetime import datetime
from typing import Any

from agentflow.core.state import Message
from agentflow_hosting.runs import RunRecord
from agentflow_tenancy import Principal


def message_view(message: Message) -> dict[str, Any]:
    """A message with every attribute, set or not."""
    return message.model_dump(mode="json", warnings="none")


def public_state(state: dict[str, Any], principal: Principal) -> dict[str, Any]:
    """A state with the thread's id as the tenant knows it, and without the text of a node's failure."""
    meta = state.get("execution_meta")
    if not isinstance(meta, dict):
        return state
    meta = dict(meta)
    if isinstance(meta.get("thread_id"), str):
        meta["thread_id"] = principal.public_id(meta["thread_id"])
    internal = meta.get("internal_data")
    if isinstance(internal, dict) and isinstance(internal.get("error"), dict):
        # An exception's words may quote anything the agent's code can reach.
        error = {name: value for name, value in internal["error"].items() if name != "message"}
        meta["internal_data"] = {**internal, "error": error}
    return {**state, "execution_meta": meta}


def result_view(result: dict[str, Any], principal: Principal, thread_id: str) -> dict[str, Any]:
    """What `CompiledGraph.ainvoke` gave, with the thread's id as the tenant knows it."""
    state, meta = result.get("state"), result["meta"]
    waits = {"interrupts": meta["interrupts"]} if meta["interrupts"] else {}
    context: list[Message] | None = result.get("context")
    return {
        "messages": [message_view(message) for message in result["messages"]],
        "state": None
        if state is None
        else public_state(state.model_dump(mode="json", warnings="none"), principal),
        "context": None if context is None else [message_view(message) for message in context],
        "summary": result.get("context_summary"),
        "meta": {"is_new_thread": meta["is_new_thread"], "thread_id": thread_id, **waits},
    }


def run_view(run: RunRecord, thread_id: str) -> dict[str, Any]:
    """A run without what it was asked.

    Args:
        run: As it stands.
        thread_id: Its thread, as the tenant knows it.
    """
    return {
        "run_id": str(run.run_id),
        "thread_id": thread_id,
        "agent": run.agent,
        "kind": run.kind,
        "status": run.status,
        "strategy": run.strategy,
        "metadata": run.metadata,
        "created_at": run.created_at.isoformat(),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "attempts": run.attempts,
        "chunks": run.chunks,
        "error": run.error,
        "cancel": run.cancel,
        "webhook": run.webhook,
        "webhook_status": None if run.webhook is None else _webhook_status(run),
    }


def _webhook_status(run: RunRecord) -> dict[str, Any]:
    return {
        "attempts": run.webhook_attempts,
        "last_status": run.webhook_answer,
        "last_error": run.webhook_error,
        "last_at": _time(run.webhook_tried_at),
        "delivered_at": _time(run.webhook_delivered_at),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
