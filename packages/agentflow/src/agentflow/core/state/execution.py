"""Where a run stands, kept inside the state so that it survives with it."""

from __future__ import annotations

import copy
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from agentflow.utils.constants import START

STOP_REASON: Final = "stop_requested"
BREAKPOINTS: Final = ("interrupt_before", "interrupt_after")


class ExecutionStatus(StrEnum):
    """Status of a thread's latest run."""

    RUNNING = "running"
    COMPLETED = "completed"
    ERROR = "error"
    INTERRUPTED_BEFORE = "interrupted_before"
    INTERRUPTED_AFTER = "interrupted_after"


class StopRequestStatus(StrEnum):
    """Whether somebody asked the run to stop."""

    NONE = "none"
    STOP_REQUESTED = "stop_requested"


class ExecutionState(BaseModel):
    """Progress of the latest run; written by the runtime, readable by nodes."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    current_node: str = START
    step: int = 0
    status: ExecutionStatus = ExecutionStatus.COMPLETED
    interrupted_node: str | None = None
    interrupt_reason: str | None = None
    interrupt_data: dict[str, Any] | None = None
    thread_id: str | None = None
    stop_current_execution: StopRequestStatus = StopRequestStatus.NONE
    internal_data: dict[str, Any] = Field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Only two fields can change in place: each step copies this, and the others took most of it."""
        copied = self.model_copy()
        values = copied.__dict__
        for name in ("interrupt_data", "internal_data"):
            if values[name]:
                values[name] = copy.deepcopy(values[name], memo)
        values["internal_data"] = values["internal_data"] or {}
        return copied

    @property
    def interrupts(self) -> list[dict[str, Any]]:
        """What the run waits for: `{"id", "node", "value", "reason", "created_at"}` each."""
        return list((self.interrupt_data or {}).get("interrupts", ()))

    def is_running(self) -> bool:
        """Whether a run was under way at this checkpoint."""
        return self.status is ExecutionStatus.RUNNING

    def is_interrupted(self) -> bool:
        """Whether the run waits for somebody."""
        return self.status in (ExecutionStatus.INTERRUPTED_BEFORE, ExecutionStatus.INTERRUPTED_AFTER)

    def is_stopped_requested(self) -> bool:
        """Whether the run was asked to stop."""
        return self.stop_current_execution is StopRequestStatus.STOP_REQUESTED
