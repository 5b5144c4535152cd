"""Threads and messages in the form clients read."""

from typing import Any

from agentflow.core.state import Message
from agentflow.core.state.codec import decode_message
from agentflow.storage.checkpointer import Snapshot, StoredMessage, ThreadInfo
from agentflow_tenancy import Principal


def thread_view(info: ThreadInfo, principal: Principal) -> dict[str, Any]:
    """A thread without its contents; the id as the tenant knows it."""
    return {
        "thread_id": principal.public_id(info.thread_id),
        "thread_name": info.name,
        "user_id": info.user_id,
        "metadata": info.metadata,
        "updated_at": info.updated_at.isoformat(),
        "run_id": info.run_id,
    }


def message_view(message: Message) -> dict[str, Any]:
    """A message with every attribute, set or not."""
    return message.model_dump(mode="json", warnings="none")


def stored_message_view(row: StoredMessage) -> dict[str, Any]:
    """A stored message likewise."""
    return message_view(decode_message(row))


def state_view(snapshot: Snapshot, principal: Principal) -> dict[str, Any]:
    """A stored state: context and fields, without what the runtime keeps beside them."""
    fields = {name: value for name, value in snapshot.fields.items() if not name.startswith("$")}
    return public_state(
        {"context": [stored_message_view(row) for row in snapshot.messages], **fields}, principal
    )


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
