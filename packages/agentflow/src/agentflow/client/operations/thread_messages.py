"""`/v1/threads/{thread_id}/messages`: a thread's messages."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from agentflow.client.line_series import JsonLines
from agentflow.client.models import Done, ImportResult
from agentflow.client.operations.inputs import Messages, as_messages
from agentflow.client.operations.operation import Operation, key_of, repeatable_key
from agentflow.client.operations.pages import Page, Pages, Place
from agentflow.client.operations.threads import path_of
from agentflow.client.target import segment
from agentflow.core.state.message import Message


def messages(thread_id: str, *, search: str | None = None, page_size: int = 100) -> Pages[Message]:
    """A thread's messages, oldest first.

    Args:
        thread_id: Of the thread.
        search: Words to look for.
        page_size: How many a round trip brings, 1 to 1000.
    """

    def page(place: Place) -> Operation[Page[Message]]:
        offset = int(place or 0)

        def read(data: Any) -> Page[Message]:
            found = [Message.model_validate(message) for message in data["messages"]]
            return Page(found, offset + page_size if len(found) >= page_size else None)

        query = {"search": search, "offset": offset, "limit": page_size}
        return Operation(method="GET", path=_path(thread_id), read=read, query=query)

    return Pages(page)


def add_messages(
    thread_id: str,
    messages: Messages,
    *,
    metadata: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Operation[Done]:
    """Append messages without running the agent."""
    body = {
        "config": dict(config or {}),
        "messages": as_messages(messages),
        "metadata": dict(metadata or {}),
    }
    return Operation(
        method="POST",
        path=_path(thread_id),
        read=Done.model_validate,
        body=body,
        idempotency_key=key_of(idempotency_key),
    )


def get_message(thread_id: str, message_id: str) -> Operation[Message]:
    """One message."""
    path = f"{_path(thread_id)}/{segment(message_id)}"
    return Operation(method="GET", path=path, read=Message.model_validate)


def delete_message(thread_id: str, message_id: str) -> Operation[Done]:
    """Delete one message; not sent again when the answer is lost."""
    path = f"{_path(thread_id)}/{segment(message_id)}"
    return Operation(method="DELETE", path=path, read=Done.model_validate, body={"config": {}})


def export_messages(thread_id: str) -> JsonLines[Message]:
    """All of a thread's messages, oldest first, in bounded memory, as they were when it began.

    When the connection breaks it goes on where it was, so each message comes once.

    Raises:
        ConnectionFailedError: It broke and could not be made anew.
    """

    def rest(version: str | None, offset: int) -> Operation[Message]:
        return Operation(
            method="GET",
            path=_path(thread_id),
            read=Message.model_validate,
            query={"version": version, "offset": offset or None},
            headers={"accept": "application/x-ndjson"},
        )

    return JsonLines(rest, version_field="x-thread-version")


def import_messages(
    thread_id: str,
    messages: Iterable[Message | Mapping[str, Any]] | AsyncIterable[Message | Mapping[str, Any]],
    *,
    idempotency_key: str | None = None,
) -> Operation[ImportResult]:
    """Append any number of messages, sent as they are read and written in batches.

    What was written before an error stays; the error's `details` say how much. Send all again, and messages
    with ids that the thread has had are passed over. Those without ids get some from the key: with the same
    key, the same.

    Args:
        thread_id: Of the thread.
        messages: A list is sent again when the connection fails, what can be read only once is not. The
            awaited client takes async iterators, too.
        idempotency_key: Made for a list when it is not given.
    """
    return Operation(
        method="POST",
        path=_path(thread_id),
        read=lambda data: ImportResult.model_validate(data["data"]),
        lines=messages,
        idempotency_key=repeatable_key(messages, idempotency_key),
    )


def _path(thread_id: str) -> str:
    return f"{path_of(thread_id)}/messages"
