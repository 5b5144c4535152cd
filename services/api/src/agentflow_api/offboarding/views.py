"""Offboardings in the form that is read."""

from datetime import datetime
from typing import Any

from agentflow_tenancy.offboarding import Offboarding


def offboarding_view(found: Offboarding) -> dict[str, Any]:
    """One as it stands. `counts` are rows by table: deleted, or of a dry run those that would be."""
    return {
        "offboarding_id": str(found.offboarding_id),
        "tenant_id": str(found.tenant_id),
        "kind": found.kind,
        "state": found.state,
        "step": found.step,
        "dry_run": found.state in ("measuring", "measured"),
        "export": found.with_export,
        "grace_s": found.grace_s,
        "grace_until": _time(found.grace_until),
        "progress": {"threads_purged": found.threads_purged, "threads_total": found.threads_total},
        "counts": found.counts,
        "placements": list(found.placements),
        "attempts": found.attempts,
        "error": found.error,
        "requested_by": found.requested_by,
        "receipt_id": str(found.offboarding_id) if found.state == "purged" else None,
        "created_at": _time(found.created_at),
        "fenced_at": _time(found.fenced_at),
        "finished_at": _time(found.finished_at),
    }


def own_view(found: Offboarding) -> dict[str, Any]:
    """The same for the tenant: nothing of how this deployment is laid out."""
    view = offboarding_view(found)
    for name in ("placements", "attempts", "error"):
        del view[name]
    return view


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
