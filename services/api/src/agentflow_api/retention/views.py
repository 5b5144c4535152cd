"""A dry run in the form that people read."""

from typing import Any

from agentflow_hosting.retention import Weighed


def retention_view(
    retention_days: int | None, keep_checkpoints: int | None, found: Weighed
) -> dict[str, Any]:
    """What was asked about, and what would go and stay."""
    return {
        "retention_days": retention_days,
        "keep_checkpoints": keep_checkpoints,
        "threads": found.threads,
        "due": found.due,
        "would_delete": {
            "threads": found.expired + found.unchanged,
            "expired": found.expired,
            "unchanged": found.unchanged,
            "checkpoints": found.checkpoints,
            "messages": found.messages,
            "size_bytes": found.size_bytes,
        },
        "would_stay": {"running": found.kept_running, "waiting": found.kept_waiting},
        "would_forget": {"checkpoints": found.old_versions},
    }
