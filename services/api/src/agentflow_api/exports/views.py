"""Exports and imports in the form that tenants and the operator read."""

from datetime import datetime
from typing import Any

from agentflow_tenancy.exports import ExportRecord


def export_view(record: ExportRecord) -> dict[str, Any]:
    """An export or an import as it stands."""
    total = record.threads_total
    return {
        f"{record.kind}_id": str(record.export_id),
        **({"thread_id": record.thread_id, "user_id": record.user_id} if record.kind == "export" else {}),
        "state": record.state,
        "cancel_requested": record.cancel_requested,
        "progress": {
            "threads_done": record.threads_done,
            "threads_total": total,
            "part": _part(record),
        },
        "size_bytes": record.size_bytes,
        "sha256": None if record.digest is None else record.digest.hex(),
        "attempts": record.attempts,
        "error": None if record.error is None else {"code": record.error_code, "message": record.error},
        "requested_by": record.requested_by,
        "created_at": record.created_at.isoformat(),
        "started_at": _time(record.started_at),
        "finished_at": _time(record.finished_at),
        **({"expires_at": _time(record.expires_at)} if record.kind == "export" else {}),
    }


def _part(record: ExportRecord) -> float:
    """How much is done, from 0 to 1."""
    if record.state in ("done", "expired"):
        return 1.0
    if not record.threads_total:
        return 0.0
    return round(min(1.0, record.threads_done / record.threads_total), 4)


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
