"""Rows of the tables as the contract's values, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from agentflow.errors import CorruptStateError, ThreadNotFoundError
from agentflow.storage.checkpointer.delta import Fields, apply
from agentflow.storage.checkpointer.run_status import run_status, status_of
from agentflow.storage.checkpointer.types import StoredMessage, ThreadInfo, ToolResult

COLUMNS = ("pos", "message_id", "role", "content_kind", "content", "extra", "sent_at")


def columns_of(messages: Sequence[StoredMessage]) -> list[list[Any]]:
    """Messages as one array a column, in the order of the statements."""
    return [[getattr(message, column) for message in messages] for column in COLUMNS]


def results_of(results: Sequence[ToolResult]) -> list[list[Any]]:
    """Tool results as one array a column."""
    return [[ended.key for ended in results], [ended.result for ended in results]]


def messages_of(row: asyncpg.Record) -> list[StoredMessage]:
    """The messages of a row that holds one array a column."""
    if row["pos"] is None:
        return []
    return [StoredMessage(*values) for values in zip(*(row[column] for column in COLUMNS), strict=True)]


def fields_of(text: str, thread_id: str) -> Fields:
    """A JSON object.

    Raises:
        CorruptStateError: It is not one.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _corrupt(thread_id) from error
    if not isinstance(fields, dict):
        raise _corrupt(thread_id)
    return fields


def folded(deltas: Sequence[str], thread_id: str) -> Fields:
    """The fields after a full checkpoint and the patches that follow it.

    Raises:
        CorruptStateError: They do not fit together.
    """
    fields = fields_of(deltas[0], thread_id)
    for delta in deltas[1:]:
        try:
            fields = apply(fields, fields_of(delta, thread_id))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise _corrupt(thread_id) from error
    return fields


def is_langgraphs(delta: str) -> bool:
    """Whether a full delta is of a LangGraph graph's thread.

    Its saver looks checkpoints up by id, takes some out of the middle, and makes those that stay build on one
    another.
    """
    return delta.startswith('{"langgraph":')


def info_of(row: asyncpg.Record) -> ThreadInfo:
    """A thread's attributes, with what it waits for when the row has its state.

    Raises:
        CorruptStateError: The state is not what was written.
    """
    values = {**row, "metadata": json.loads(row["metadata"]), "status": status_of(row["status"])}
    state = values.pop("state", None)
    if state is None:
        return ThreadInfo(**values)
    fields = fields_of(state, row["thread_id"])
    try:
        found = run_status(fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _corrupt(row["thread_id"]) from error
    return ThreadInfo(**{**values, "status": found.status, "interrupts": found.interrupts})


def no_thread(thread_id: str) -> ThreadNotFoundError:
    """The same error for a missing thread and somebody else's."""
    return ThreadNotFoundError(f"There is no thread {thread_id!r}.")


def _corrupt(thread_id: str) -> CorruptStateError:
    return CorruptStateError(
        f"What is stored of thread {thread_id!r} is not what was written; none of it was used."
    )
