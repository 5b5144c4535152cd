"""Threads and messages in the form clients read."""

from typing import Any

from agentflow.core.graph.editing import CLEARED
from agentflow.core.state.codec import decode_message
from agentflow.storage.checkpointer import Snapshot, StoredMessage, ThreadInfo
from agentflow_hosting.views import message_view, public_state
from agentflow_tenancy import Principal


def thread_view(info: ThreadInfo, principal: Principal) -> dict[str, Any]:
    """A thread without its contents; the id as the tenant knows it."""
    return {
        "thread_id": principal.public_id(info.thread_id),
        "thread_name": info.name,
        "user_id": info.user_id,
        "metadata": info.metadata,
        "updated_at": info.updated_at.isoformat(),
        "expires_at": None if info.expires_at is None else info.expires_at.isoformat(),
        "run_id": info.run_id,
        "status": info.status,
    }


def thread_with_interrupts(info: ThreadInfo, principal: Principal) -> dict[str, Any]:
    """The same, with what the thread waits for."""
    waits = [interrupt.as_data() for interrupt in info.interrupts or ()]
    return thread_view(info, principal) | {"interrupts": waits}


def stored_message_view(row: StoredMessage) -> dict[str, Any]:
    """A stored message likewise."""
    return message_view(decode_message(row))


def state_view(snapshot: Snapshot, principal: Principal, thread_id: str) -> dict[str, Any] | None:
    """A stored state: context and fields, without what the runtime keeps beside them; None of a cleared one.

    Args:
        snapshot: Of the thread.
        principal: Who reads it.
        thread_id: As the tenant knows the thread: a copy holds what the original's state said.
    """
    if CLEARED in snapshot.fields:
        return None
    fields = {name: value for name, value in snapshot.fields.items() if not name.startswith("$")}
    meta = fields.get("execution_meta")
    if isinstance(meta, dict) and meta.get("thread_id"):
        fields["execution_meta"] = {**meta, "thread_id": principal.stored_id(thread_id)}
    return public_state(
        {"context": [stored_message_view(row) for row in snapshot.messages], **fields}, principal
    )
