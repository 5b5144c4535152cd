"""A step of the workload as a graph would hand it to a checkpointer of ours."""

from dataclasses import dataclass
from typing import Any

from agentflow.storage.checkpointer import CheckpointWrite, StoredMessage
from agentflow.storage.checkpointer.delta import Patch, diff
from agentflow.storage.checkpointer.types import PLAIN_TEXT
from tests.benchmarks.workload import NODES


@dataclass(frozen=True)
class Change:
    """What a graph knows of one step.

    Attributes:
        number: How many steps the thread had before.
        messages: How many messages it had before.
    """

    number: int
    node: str
    messages: int
    message: dict[str, Any] | None
    patch: Patch
    fields: dict[str, Any]


def next_change(
    before: Change | None, node: str, message: dict[str, Any] | None, extra: dict[str, Any]
) -> Change:
    """The step after that one; None before the first."""
    fields = {"extra": extra}
    if before is None:
        return Change(0, node, 0, message, diff({}, fields), fields)
    messages = before.messages + (before.message is not None)
    return Change(before.number + 1, node, messages, message, diff(before.fields, fields), fields)


def checkpoint(change: Change, thread_no: int | None, run_id: str) -> CheckpointWrite:
    """The same as `append` takes it; the store alone knows a thread's number."""
    starts_turn = change.node == NODES[0]
    return CheckpointWrite(
        expected_head=change.number,
        thread_no=thread_no,
        source="input" if starts_turn else "node",
        node=change.node,
        step=change.number,
        run_id=run_id,
        patch=change.patch,
        fields=change.fields,
        added=(_stored(change.messages, change.message),) if change.message else (),
        starts_run=starts_turn,
    )


def _stored(pos: int, message: dict[str, Any]) -> StoredMessage:
    return StoredMessage(
        pos, message["id"], message["role"], PLAIN_TEXT, message["content"], None, message["ts"]
    )
