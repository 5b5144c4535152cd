"""A line as the columns that its statement takes, in the statement's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from agentflow_tenancy.exports.lines import (
    CheckpointLine,
    Line,
    MessageLine,
    ThreadLine,
    ToolLine,
    WriteLine,
)

type Row = tuple[Any, ...]


def _thread(prefix: str, line: ThreadLine) -> Row:
    return (
        prefix + line.thread,
        line.head,
        line.next_pos,
        line.user,
        line.name,
        line.run,
        line.created_at,
        line.updated_at,
        line.expires_at,
        bytes(line.metadata).decode(),
        line.state,
    )


def _checkpoint(numbers: Mapping[str, int], line: CheckpointLine) -> Row:
    return (
        numbers[line.thread],
        line.seq,
        line.created_at,
        line.step,
        line.full,
        line.id,
        line.source,
        line.node,
        line.run,
        line.delta,
    )


def _message(numbers: Mapping[str, int], line: MessageLine) -> Row:
    return (
        numbers[line.thread],
        line.pos,
        line.seq,
        line.removed,
        line.created_at,
        line.sent_at,
        line.kind,
        line.id,
        line.role,
        line.content,
        line.extra,
    )


def _tool(numbers: Mapping[str, int], line: ToolLine) -> Row:
    return (
        numbers[line.thread],
        line.key,
        line.seq,
        line.idx,
        line.attempt,
        line.started_at,
        line.finished_at,
        line.started_by,
        line.call_id,
        line.name,
        line.node,
        line.run,
        line.result,
    )


def _write(numbers: Mapping[str, int], line: WriteLine) -> Row:
    return (
        numbers[line.thread],
        line.checkpoint,
        line.task,
        line.idx,
        line.path,
        line.channel,
        line.kind,
        bytes.fromhex(line.value),
    )


# Threads take the prefix of their stored ids, all others the numbers of the threads.
COLUMNS: Final[Mapping[str, Callable[[Any, Any], Row]]] = {
    "threads": _thread,
    "checkpoints": _checkpoint,
    "messages": _message,
    "tools": _tool,
    "writes": _write,
}


def weight(line: Line) -> int:
    """About how many bytes a line takes on its way."""
    match line:
        case ThreadLine():
            return len(line.state) + len(line.metadata)
        case CheckpointLine():
            return len(line.delta)
        case MessageLine():
            return len(line.content) + len(line.extra or "")
        case ToolLine():
            return len(line.result or "")
        case WriteLine():
            return len(line.value)
