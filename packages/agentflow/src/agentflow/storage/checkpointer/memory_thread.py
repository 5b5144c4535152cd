"""A thread as `InMemoryCheckpointer` keeps it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from agentflow.storage.checkpointer.run_status import run_status
from agentflow.storage.checkpointer.types import (
    CheckpointInfo,
    CheckpointWrite,
    NewThread,
    Scope,
    Snapshot,
    StoredMessage,
    ThreadInfo,
    ToolCallInfo,
    ToolIntent,
    ToolResult,
    ToolStart,
    ToolStarts,
    next_pos,
    oldest_needed_tool,
)


@dataclass(slots=True)
class _Row:
    message: StoredMessage
    seq: int
    removed_seq: int | None = None


@dataclass(slots=True)
class _Tool:
    intent: ToolIntent
    run_id: str
    seq: int
    started_by: uuid.UUID
    started_at: datetime
    attempt: int = 1
    finished_at: datetime | None = None
    result: str | None = None

    def info(self) -> ToolCallInfo:
        return ToolCallInfo(
            key=self.intent.key,
            call_id=self.intent.call_id,
            name=self.intent.name,
            node=self.intent.node,
            run_id=self.run_id,
            seq=self.seq,
            attempt=self.attempt,
            started_at=self.started_at,
            finished_at=self.finished_at,
            result=self.result,
        )


@dataclass(slots=True)
class MemoryThread:
    """Its head, and all that its checkpoints and tools were."""

    thread_no: int
    thread_id: str
    attributes: NewThread
    metadata: str
    created_at: datetime
    updated_at: datetime
    fields: str = "{}"
    next_pos: int = 0
    run_id: str | None = None
    stop_requested: bool = False
    expires_at: datetime | None = None
    patches: list[str] = field(default_factory=list)
    checkpoints: list[CheckpointInfo] = field(default_factory=list)
    pruned: int = 0
    rows: list[_Row] = field(default_factory=list)
    alive: dict[int, _Row] = field(default_factory=dict)
    tools: dict[uuid.UUID, _Tool] = field(default_factory=dict)

    def finish(self, results: Sequence[ToolResult]) -> None:
        """Tools that ended; what was told first stays."""
        for ended in results:
            tool = self.tools.get(ended.key)
            if tool is not None and tool.result is None:
                tool.result, tool.finished_at = ended.result, datetime.now(UTC)

    def snapshot(self) -> Snapshot:
        """The head."""
        rows = sorted(self.alive.items(), key=lambda item: item[0])
        messages = [row.message for _, row in rows]
        return Snapshot(
            self.thread_no, len(self.checkpoints), self.next_pos, json.loads(self.fields), messages
        )

    def copy(self, thread_id: str, thread_no: int) -> MemoryThread:
        """Another thread with the same past; tools under way stay behind."""
        now = datetime.now(UTC)
        copied = replace(
            deepcopy(self), thread_id=thread_id, thread_no=thread_no, created_at=now, updated_at=now
        )
        copied.tools = {key: tool for key, tool in copied.tools.items() if tool.result is not None}
        copied.stop_requested = False
        return copied

    def info(self) -> ThreadInfo:
        """What lists of threads show."""
        found = run_status(json.loads(self.fields))
        return ThreadInfo(
            status=found.status,
            interrupts=found.interrupts,
            thread_id=self.thread_id,
            head=len(self.checkpoints),
            user_id=self.attributes.user_id,
            name=self.attributes.name,
            metadata=json.loads(self.metadata),
            run_id=self.run_id,
            created_at=self.created_at,
            updated_at=self.updated_at,
            expires_at=self.expires_at,
        )

    def store(self, write: CheckpointWrite, patch: str, fields: str, ttl: timedelta | None) -> None:
        """A checkpoint that goes on from the head, with what it was encoded to."""
        now = datetime.now(UTC)
        seq = write.expected_head + 1
        for pos in write.removed:
            self.alive.pop(pos).removed_seq = seq
        for message in write.added:
            row = _Row(message, seq)
            self.rows.append(row)
            self.alive[message.pos] = row
        self.next_pos = next_pos(self.next_pos, write.added)
        self.checkpoints.append(
            CheckpointInfo(
                seq=seq,
                parent=write.expected_head if write.parent is None else write.parent,
                checkpoint_id=write.checkpoint_id,
                source=write.source,
                node=write.node,
                step=write.step,
                run_id=write.run_id,
                created_at=now,
            )
        )
        self.patches.append(patch)
        self.fields, self.run_id, self.updated_at = fields, write.run_id, now
        if ttl is not None:
            self.expires_at = now + ttl
        self.finish(write.tool_results)
        if write.starts_run:
            self.stop_requested = False

    def start(self, starts: ToolStarts, intent: ToolIntent) -> ToolStart:
        """A tool that is about to run; one that has ended is told with its result."""
        tool = self.tools.get(intent.key)
        if tool is None:
            tool = _Tool(intent, starts.run_id, starts.expected_head, starts.started_by, datetime.now(UTC))
            self.tools[intent.key] = tool
        elif tool.result is None and tool.started_by != starts.started_by:
            tool.attempt, tool.started_by = tool.attempt + 1, starts.started_by
        return ToolStart(intent.key, tool.attempt, tool.result)

    def is_visible(self, scope: Scope) -> bool:
        """Whether the scope may know of it."""
        return scope.principal is None or self.attributes.user_id == scope.principal

    def has_made(self, write: CheckpointWrite) -> bool:
        """Whether a write that is sent again was stored the first time."""
        head = write.expected_head
        return head < len(self.checkpoints) and self.checkpoints[head].checkpoint_id == write.checkpoint_id

    def lives(self, now: datetime) -> bool:
        """Whether somebody goes on with it: see `BaseCheckpointer.delete_expired`."""
        info = self.info()
        if info.status in ("running", "interrupted") and info.interrupts:
            return True
        return info.status == "running" and self.updated_at > now - timedelta(days=1)

    def prune(self, keep_last: int) -> int:
        """How many checkpoints were forgotten. Their patches stay: later versions fold over them."""
        first = len(self.checkpoints) - keep_last + 1
        gone = max(0, first - 1 - self.pruned)
        if gone:
            self.pruned += gone
            self.rows = [row for row in self.rows if row.removed_seq is None or row.removed_seq > first]
            oldest = oldest_needed_tool(json.loads(self.fields), first)
            self.tools = {
                key: tool for key, tool in self.tools.items() if tool.result is None or tool.seq >= oldest
            }
        return gone
