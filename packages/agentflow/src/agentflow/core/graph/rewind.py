"""Going back: which version a run started from, and whether it is to be undone."""

from __future__ import annotations

from agentflow.core.state.execution import ExecutionState, ExecutionStatus
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.types import CheckpointInfo, Scope
from agentflow.utils.constants import START


async def before_last_run(checkpointer: BaseCheckpointer, scope: Scope, thread_id: str) -> int | None:
    """The version the thread's last run found; 0 if that run made the thread.

    None when none ran since the thread was forked or rolled back.

    One round trip for each hundred checkpoints of the run.
    """
    before: int | None = None
    while page := await checkpointer.history(scope, thread_id, before=before):
        for entry in page:
            if _starts_run(entry):
                return entry.seq - 1
            if entry.source in ("fork", "rollback"):
                return None
        before = page[-1].seq
    return None  # it was pruned


def is_to_be_undone(meta: ExecutionState, *, was_busy: bool) -> bool:
    """Whether the last run is one that a rollback undoes: stopped for it, or never ended.

    A run that completed in the meantime has answered its caller: it stays.
    """
    return meta.is_running() or (was_busy and meta.status is not ExecutionStatus.COMPLETED)


def _starts_run(entry: CheckpointInfo) -> bool:
    return entry.source == "input" or (entry.source == "fork" and entry.node == START)
