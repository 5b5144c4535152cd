"""Operations and partitions in the form the operator reads."""

from datetime import datetime
from typing import Any

from agentflow_tenancy.moves import Operation, Proposal
from agentflow_tenancy.moves.operations import PartitionSize
from agentflow_tenancy.schema import placement_kind


def operation_view(operation: Operation) -> dict[str, Any]:
    """A move as it stands."""
    total = operation.threads_total
    return {
        "operation_id": str(operation.operation_id),
        "tenant_id": str(operation.tenant_id),
        "kind": operation.kind,
        "from": operation.source,
        "to": operation.target,
        "state": operation.state,
        "step": operation.step,
        "cancel_requested": operation.cancel_requested,
        "progress": {
            "threads_moved": operation.threads_moved,
            "threads_total": total,
            "rows_moved": operation.rows_moved,
            "part": _part(operation),
        },
        "attempts": operation.attempts,
        "error": operation.error,
        "requested_by": operation.requested_by,
        "reason": operation.reason,
        "created_at": _time(operation.created_at),
        "started_at": _time(operation.started_at),
        "finished_at": _time(operation.finished_at),
    }


def partition_view(partition: PartitionSize) -> dict[str, Any]:
    """A placement and what it takes."""
    return {
        "placement": partition.placement,
        "kind": placement_kind(partition.placement),
        "size_bytes": partition.size_bytes,
        "tenants": partition.tenants,
    }


def proposal_view(proposal: Proposal) -> dict[str, Any]:
    """Who would move, and why."""
    size = proposal.size
    return {
        "tenant_id": str(size.tenant_id),
        "slug": size.slug,
        "from": size.placement,
        "to": "dedicated" if proposal.target is None else proposal.target,
        "reason": proposal.reason,
        "bytes": size.bytes,
        "threads": size.threads,
        "checkpoints_last_hour": size.checkpoints_last_hour,
    }


def _part(operation: Operation) -> float:
    """How much is done, from 0 to 1. Threads that were made meanwhile move too, so it may not be exact."""
    if operation.state == "done" or operation.step in ("finish", "clean", "end"):
        return 1.0
    if not operation.threads_total:
        return 0.0
    return round(min(1.0, operation.threads_moved / operation.threads_total), 4)


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
