"""`/v1/threads/{thread_id}/history`: a thread as it was, and threads made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow.client.models import Checkpoint, Forked, ThreadState
from agentflow.client.operations.operation import Operation, key_of, without_none
from agentflow.client.operations.pages import Page, Pages, Place
from agentflow.client.operations.threads import path_of, state_of


def history(thread_id: str, *, before: int | None = None, page_size: int = 100) -> Pages[Checkpoint]:
    """A thread's checkpoints, newest first.

    Args:
        thread_id: Of the thread.
        before: Those behind this one alone.
        page_size: How many a round trip brings.
    """

    def read(data: Any) -> Page[Checkpoint]:
        found = [Checkpoint.model_validate(checkpoint) for checkpoint in data["checkpoints"]]
        return Page(found, data.get("next_cursor"))

    def page(place: Place) -> Operation[Page[Checkpoint]]:
        query = {"limit": page_size, "before": before, "cursor": place}
        return Operation(method="GET", path=f"{path_of(thread_id)}/history", read=read, query=query)

    return Pages(page)


def state_at(thread_id: str, seq: int) -> Operation[ThreadState | None]:
    """A thread's state at a checkpoint."""
    return Operation(method="GET", path=f"{path_of(thread_id)}/history/{int(seq)}/state", read=state_of)


def fork(
    thread_id: str,
    checkpoint: int,
    *,
    to_thread: str | None = None,
    values: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Operation[Forked]:
    """Make an older state the latest one. Nothing runs.

    Args:
        thread_id: Of the thread.
        checkpoint: `seq` of it.
        to_thread: As a thread of this id; None: in place, with the newer ones kept as history.
        values: Merged into the state.
        idempotency_key: Made when it is not given.
    """
    return Operation(
        method="POST",
        path=f"{path_of(thread_id)}/fork",
        read=Forked.model_validate,
        body=without_none(checkpoint=checkpoint, to_thread=to_thread, values=values),
        idempotency_key=key_of(idempotency_key),
    )


def copy(
    thread_id: str,
    *,
    to_thread: str | None = None,
    with_history: bool = True,
    idempotency_key: str | None = None,
) -> Operation[Forked]:
    """A thread like this one; its id is made when it is not given. Nothing runs."""
    return Operation(
        method="POST",
        path=f"{path_of(thread_id)}/copy",
        read=Forked.model_validate,
        body=without_none(to_thread=to_thread, with_history=with_history),
        idempotency_key=key_of(idempotency_key),
    )
