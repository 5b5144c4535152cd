"""What the stored fields of a thread say of its latest run: whether it goes on, and what it waits for."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from agentflow.storage.checkpointer.delta import Fields, Json

ThreadStatus = Literal["idle", "running", "interrupted", "error"]

_STATUSES: Final[Mapping[str | None, ThreadStatus]] = {
    "running": "running",
    "error": "error",
    "interrupted_before": "interrupted",
    "interrupted_after": "interrupted",
}


@dataclass(frozen=True, slots=True)
class PendingInterrupt:
    """Something a thread waits for.

    Attributes:
        id: Of this very question: asked anew, by another run or a loop, it has another.
        node: That asks, or that a breakpoint is at; several with commas between.
        value: What `interrupt(value)` was given; None for a breakpoint.
        reason: `interrupt`, or `interrupt_before` or `interrupt_after` for a breakpoint.
        created_at: When the run paused there; None for what was stored before this was kept.
    """

    id: str
    node: str
    value: Json
    reason: str = "interrupt"
    created_at: datetime | None = None

    def as_data(self) -> Fields:
        """The stored form."""
        created_at = None if self.created_at is None else self.created_at.isoformat()
        return {
            "id": self.id,
            "node": self.node,
            "value": self.value,
            "reason": self.reason,
            "created_at": created_at,
        }


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a thread's latest run stands.

    Attributes:
        status: `idle` when it is over. `running` is what the latest checkpoint says: after a kill too, until
            somebody goes on.
        interrupts: What it waits for. A stopped run waits for nothing, although it is `interrupted`; one that
            is running may wait for the rest of several answers.
    """

    status: ThreadStatus = "idle"
    interrupts: Sequence[PendingInterrupt] = field(default_factory=tuple)


def new_interrupt(node: str, value: Json = None, reason: str = "interrupt") -> PendingInterrupt:
    """One that begins to wait now."""
    return PendingInterrupt(f"int_{uuid.uuid4().hex}", node, value, reason, datetime.now(UTC))


def interrupt_of(data: Mapping[str, Any]) -> PendingInterrupt:
    """The interrupt of its stored form."""
    created_at = data.get("created_at")
    return PendingInterrupt(
        id=str(data["id"]),
        node=str(data["node"]),
        value=data.get("value"),
        reason=str(data.get("reason", "interrupt")),
        created_at=datetime.fromisoformat(created_at) if created_at else None,
    )


def status_of(stored: str | None) -> ThreadStatus:
    """A thread's status, by the status in its state. Threads that hold none are idle."""
    return _STATUSES.get(stored, "idle")


def run_status(fields: Fields) -> RunStatus:
    """How the latest run stands, by a thread's fields.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: They are not what the runtime writes.
    """
    meta = fields.get("execution_meta")
    if not isinstance(meta, dict):
        return RunStatus()
    data = meta.get("interrupt_data") or {}
    return RunStatus(
        status_of(meta.get("status")), [interrupt_of(stored) for stored in data.get("interrupts", ())]
    )
