"""`/v1/threads`: threads and their state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from agentflow.client.models import DeletedThreads, Done, Thread, ThreadState
from agentflow.client.operations.operation import Operation, key_of, without_none
from agentflow.client.operations.pages import Page, Pages, Place
from agentflow.client.target import segment

type Status = Literal["idle", "running", "interrupted", "error"]
type Sort = Literal["updated_at", "-updated_at", "created_at", "-created_at", "thread_id"]


class Conditions(TypedDict, total=False):
    """What threads are looked for by.

    Attributes:
        metadata: What their metadata hold.
        text: What their messages hold.
        status: How their latest run stands.
    """

    metadata: Mapping[str, Any]
    user_id: str
    text: str
    thread_name: str
    updated_before: datetime
    updated_after: datetime
    created_before: datetime
    created_after: datetime
    status: Status


class Attributes(TypedDict, total=False):
    """What can be changed of a thread."""

    thread_name: str | None
    metadata: Mapping[str, Any] | None


def list_threads(*, search: str | None = None, page_size: int = 100) -> Pages[Thread]:
    """Threads, last changed first; each once, also when it changes meanwhile.

    Args:
        search: Words to look for.
        page_size: How many a round trip brings, 1 to 1000.
    """

    def page(place: Place) -> Operation[Page[Thread]]:
        offset = int(place or 0)

        def read(data: Any) -> Page[Thread]:
            threads = [Thread.model_validate(thread) for thread in data["threads"]]
            return Page(threads, offset + page_size if len(threads) >= page_size else None)

        query = {"search": search, "offset": offset, "limit": page_size}
        return Operation(method="GET", path="/v1/threads", read=read, query=query)

    return Pages(page, name=lambda thread: thread.thread_id)


def search(
    *, sort: Sort = "-updated_at", page_size: int = 100, **conditions: Unpack[Conditions]
) -> Pages[Thread]:
    """Threads that meet every condition.

    Args:
        sort: Their order; `-` before it turns it round.
        page_size: How many a round trip brings, 1 to 1000.
        conditions: See `Conditions`.
    """

    def page(place: Place) -> Operation[Page[Thread]]:
        body = {**conditions, "sort": sort, "limit": page_size, **without_none(cursor=place)}
        return Operation(method="POST", path="/v1/threads/search", read=_found, body=body, only_reads=True)

    return Pages(page)


def get(thread_id: str) -> Operation[Thread]:
    """A thread without its contents."""
    return Operation(method="GET", path=path_of(thread_id), read=_thread)


def delete(thread_id: str) -> Operation[Done]:
    """Delete a thread with everything in it.

    Not sent again when the answer is lost: the second one would be that it is missing.
    """
    return Operation(method="DELETE", path=path_of(thread_id), read=Done.model_validate, body={"config": {}})


def update(thread_id: str, **changes: Unpack[Attributes]) -> Operation[Thread]:
    """Change a thread's name, or keys of its metadata; None takes away."""
    return Operation(method="PATCH", path=path_of(thread_id), read=_thread, body=changes)


def delete_many(
    *,
    dry_run: bool,
    ids: Sequence[str] | None = None,
    limit: int | None = None,
    idempotency_key: str | None = None,
    **conditions: Unpack[Conditions],
) -> Operation[DeletedThreads]:
    """Delete threads that meet every condition; at least one, or ids, must be given.

    Args:
        dry_run: Only say what would be deleted.
        ids: Of these alone.
        limit: How many at most; the answer says whether there are more.
        idempotency_key: Made when it is not given, and it is no dry run.
        conditions: See `Conditions`.
    """
    return Operation(
        method="POST",
        path="/v1/threads/delete",
        read=DeletedThreads.model_validate,
        body={**conditions, **without_none(ids=ids, limit=limit), "dry_run": dry_run},
        idempotency_key=None if dry_run else key_of(idempotency_key),
        only_reads=dry_run,
    )


def state(thread_id: str) -> Operation[ThreadState | None]:
    """A thread's latest state."""
    return Operation(method="GET", path=f"{path_of(thread_id)}/state", read=state_of)


def update_state(
    thread_id: str, state: Mapping[str, Any], *, config: Mapping[str, Any] | None = None
) -> Operation[ThreadState | None]:
    """Merge something into a thread's state: messages are appended, fields merged, null erases nothing."""
    body = {"config": dict(config or {}), "state": dict(state)}
    return Operation(method="PUT", path=f"{path_of(thread_id)}/state", read=state_of, body=body)


def delete_state(thread_id: str) -> Operation[Done]:
    """Empty a thread's state; the thread stays."""
    return Operation(method="DELETE", path=f"{path_of(thread_id)}/state", read=Done.model_validate)


def path_of(thread_id: str) -> str:
    """Where a thread is."""
    return f"/v1/threads/{segment(thread_id)}"


def state_of(data: Any) -> ThreadState | None:
    """The `state` of an answer."""
    return None if data["state"] is None else ThreadState.model_validate(data["state"])


def _thread(data: Any) -> Thread:
    return Thread.model_validate(data["thread_data"]["thread"])


def _found(data: Any) -> Page[Thread]:
    return Page([Thread.model_validate(thread) for thread in data["threads"]], data.get("next_cursor"))
