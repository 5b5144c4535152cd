"""Runs that were begun before: what an earlier attempt of the same run left on its thread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from agentflow.core.state.execution import STOP_REASON, ExecutionState, ExecutionStatus
from agentflow.errors import CheckpointNotFoundError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.types import Scope

# For a search through the whole history.
EVER: Final = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)

# The run was made and its checkpoints were written by clocks that may differ.
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class EarlierAttempt:
    """What is there of a run.

    Attributes:
        first: The version that took its input.
        last: Its latest version.
        is_latest: Nobody else wrote to the thread since.
        first_pos: Where its messages begin in the thread's order.
    """

    first: int
    last: int
    is_latest: bool
    first_pos: int


def is_over(meta: ExecutionState) -> bool:
    """Whether a run's own work is done: it ended, or waits for somebody. One that was only stopped is not."""
    if meta.is_interrupted():
        return meta.interrupt_reason != STOP_REASON
    return meta.status is ExecutionStatus.COMPLETED


async def earlier_attempt(
    checkpointer: BaseCheckpointer, scope: Scope, thread_id: str, run_id: str, since: datetime
) -> EarlierAttempt | None:
    """What an earlier attempt of a run left; None when its input never got there.

    Args:
        checkpointer: Where the thread is.
        scope: Whose.
        thread_id: Which.
        run_id: The run's.
        since: When the run was made: nothing of it is older.

    One round trip for each hundred checkpoints since then, and one more.
    """
    ours: list[int] = []
    before: int | None = None
    newest: int | None = None
    while page := await checkpointer.history(scope, thread_id, before=before):
        newest = newest or page[0].seq
        ours += [entry.seq for entry in page if entry.run_id == run_id]
        before = page[-1].seq
        if page[-1].created_at < since - _CLOCKS_DIFFER_BY:
            break
    if not ours:
        return None
    return EarlierAttempt(
        first=min(ours),
        last=max(ours),
        is_latest=max(ours) == newest,
        first_pos=await _behind(checkpointer, scope, thread_id, min(ours) - 1),
    )


async def _behind(checkpointer: BaseCheckpointer, scope: Scope, thread_id: str, seq: int) -> int:
    """The position behind the last message of a version: what came later stands there or beyond."""
    if seq == 0:
        return 0
    try:
        messages = (await checkpointer.load_at(scope, thread_id, seq)).messages
    except CheckpointNotFoundError:  # pruned
        return 2**62
    return messages[-1].pos + 1 if messages else 0
