"""Checkpointers: the homes of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentflow.storage.checkpointer.base import BaseCheckpointer, ThreadSession
from agentflow.storage.checkpointer.filters import (
    CopiedThread,
    ThreadChange,
    ThreadFilter,
    ThreadPlace,
    ThreadSort,
)
from agentflow.storage.checkpointer.memory import InMemoryCheckpointer
from agentflow.storage.checkpointer.run_status import PendingInterrupt, ThreadStatus
from agentflow.storage.checkpointer.sizes import Limits
from agentflow.storage.checkpointer.types import (
    CheckpointInfo,
    CheckpointWrite,
    Committed,
    MessagePage,
    MessagePlace,
    NewThread,
    Scope,
    Snapshot,
    StoredMessage,
    ThreadInfo,
    ToolCallInfo,
)

if TYPE_CHECKING:
    from agentflow.storage.checkpointer.postgres import PgCheckpointer


def __getattr__(name: str) -> Any:
    # Loaded when asked for: its drivers are extras, and slow to import.
    if name != "PgCheckpointer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from agentflow.storage.checkpointer.postgres import PgCheckpointer
    except ModuleNotFoundError as error:
        raise ImportError(
            f"PgCheckpointer needs the module {error.name!r}: "
            'pip install "agentflow[postgres,redis]" brings it.'
        ) from error
    return PgCheckpointer


__all__ = [
    "BaseCheckpointer",
    "CheckpointInfo",
    "CheckpointWrite",
    "Committed",
    "CopiedThread",
    "InMemoryCheckpointer",
    "Limits",
    "MessagePage",
    "MessagePlace",
    "NewThread",
    "PendingInterrupt",
    "PgCheckpointer",
    "Scope",
    "Snapshot",
    "StoredMessage",
    "ThreadChange",
    "ThreadFilter",
    "ThreadInfo",
    "ThreadPlace",
    "ThreadSession",
    "ThreadSort",
    "ThreadStatus",
    "ToolCallInfo",
]
