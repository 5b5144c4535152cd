"""Checkpoints in the form clients read."""

from typing import Any

from agentflow.storage.checkpointer import CheckpointInfo


def checkpoint_view(info: CheckpointInfo) -> dict[str, Any]:
    """A checkpoint without its state."""
    return {
        "seq": info.seq,
        "parent": info.parent,
        "node": info.node,
        "step": info.step,
        "source": info.source,
        "run_id": info.run_id,
        "created_at": info.created_at.isoformat(),
    }
