"""What a run is: asked for, waiting, at work, over."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

type RunStatus = Literal["pending", "running", "success", "error", "interrupted", "cancelled"]
type RunKind = Literal["background", "stream"]
type Strategy = Literal["enqueue", "reject", "interrupt", "rollback"]
type CancelAction = Literal["interrupt", "rollback"]

STATUSES: Final[tuple[RunStatus, ...]] = get_args(RunStatus.__value__)


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is made of.

    Attributes:
        tenant_id: Whose.
        run_id: Given by whoever makes it, so that making it twice makes it once.
        thread_id: As it is stored.
        user_id: The one user whose threads exist for it; None is every user of the tenant.
        key_id: Whose limits hold.
        agent: Name of the hosted agent.
        input: What to run, as `RunRequest.as_data` gives it.
        after_s: Seconds until it may begin.
        webhook: Address to tell when it is over.
        most_queued: With so many of the tenant that wait it is not made; None is without bound.
        traceparent: W3C trace context of whoever asks for it: its spans stand below.
    """

    tenant_id: uuid.UUID
    run_id: uuid.UUID
    thread_id: str
    user_id: str | None
    key_id: str
    agent: str
    input: Mapping[str, Any]
    kind: RunKind = "background"
    strategy: Strategy = "enqueue"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    after_s: float = 0.0
    most_queued: int | None = None
    webhook: str | None = None
    traceparent: str | None = None

    def begun(self, holder: uuid.UUID) -> RunRecord:
        """What its record will be like once it is made, by a holder that begins at once.

        Only the database knows its `order_no` and its times.
        """
        now = datetime.now(UTC)
        return RunRecord(
            tenant_id=self.tenant_id,
            run_id=self.run_id,
            thread_id=self.thread_id,
            user_id=self.user_id,
            key_id=self.key_id,
            agent=self.agent,
            kind=self.kind,
            strategy=self.strategy,
            status="running",
            input=dict(self.input),
            metadata=dict(self.metadata),
            cancel=None,
            attempts=1,
            crashes=0,
            chunks=0,
            error=None,
            webhook=self.webhook,
            order_no=0,
            created_at=now,
            started_at=now,
            finished_at=None,
            holder=holder,
            webhook_attempts=0,
            webhook_answer=None,
            webhook_error=None,
            webhook_tried_at=None,
            webhook_delivered_at=None,
            traceparent=self.traceparent,
        )


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, as it stands.

    Attributes:
        status: As it is shown: a run whose holder was not heard of in time is one that waits.
        attempts: How often somebody began to work on it.
        crashes: How often whoever worked on it was not heard of any more.
        chunks: How many chunks of it are kept; the next one has this number.
        error: `{"code", "message"}` of a run that failed.
        cancel: How it shall end, when somebody asked for that.
        order_no: Grows with each run.
        holder: Who works on it.
        webhook_attempts: How often its address was told.
        webhook_answer: The last HTTP status that came back, if any.
        webhook_error: Why the last attempt does not count.
    """

    tenant_id: uuid.UUID
    run_id: uuid.UUID
    thread_id: str
    user_id: str | None
    key_id: str
    agent: str
    kind: RunKind
    strategy: Strategy
    status: RunStatus
    input: dict[str, Any]
    metadata: dict[str, Any]
    cancel: CancelAction | None
    attempts: int
    crashes: int
    chunks: int
    error: dict[str, Any] | None
    webhook: str | None
    order_no: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    holder: uuid.UUID | None
    webhook_attempts: int
    webhook_answer: int | None
    webhook_error: str | None
    webhook_tried_at: datetime | None
    webhook_delivered_at: datetime | None
    traceparent: str | None = None

    @property
    def is_over(self) -> bool:
        """Nothing more comes of it."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of what a run said.

    Attributes:
        seq: Its number in the run, from 0 without gaps.
        body: The JSON text that readers get.
    """

    seq: int
    body: str
