"""A thread while a run works on it: the live state, and what of it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from agentflow.core.graph.blame import Blamed
from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.budget import Boundary, Budget, tokens_of
from agentflow.core.graph.config import Durability
from agentflow.core.graph.pipeline import Pipeline
from agentflow.core.graph.progress import Progress, progress_of
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.codec import decode_message, decode_state, encode_fields, encode_message
from agentflow.core.state.context_log import ContextChange, Entry, change_context
from agentflow.core.state.message import Message
from agentflow.errors import AgentFlowError, StorageError
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.delta import Fields, Patch, diff
from agentflow.storage.checkpointer.types import (
    CheckpointWrite,
    Committed,
    Snapshot,
    Source,
    ToolIntent,
    ToolResult,
    ToolStart,
    ToolStarts,
)
from agentflow.utils.spans import note_checkpoint

# How often a run that holds its checkpoints back asks whether it should stop.
_LOOK_EVERY_S: Final = 0.25


@dataclass(slots=True)
class _Stored:
    """What is durable of a thread whose run holds its checkpoints back, and where the run stands."""

    fields: Fields
    entries: Sequence[Entry[Message]]
    node: str

    def change_to(self, entries: Sequence[Entry[Message]]) -> ContextChange[Message]:
        """How the stored context becomes `entries`, whatever happened in between."""
        before, after = dict(self.entries), dict(entries)
        return ContextChange(
            added=[(pos, message) for pos, message in entries if before.get(pos) is not message],
            removed=[pos for pos, message in self.entries if after.get(pos) is not message],
            entries=list(entries),
            next_pos=0,
        )


class LiveThread[S: AgentState]:
    """Holds the state at the thread's head and moves both forward together.

    `state` and `progress` are what the last committed checkpoint holds; a commit that fails
    leaves them as they were. With durability "async" commits are under way, and with "exit" they are
    held back until the run rests; `flush` makes them durable.

    Attributes:
        failure: Why the tool ledger could not be written: the run must end with it.
    """

    def __init__(
        self,
        blueprint: Blueprint[S],
        session: ThreadSession,
        run_id: str,
        durability: Durability = "sync",
        budget: Budget | None = None,
    ) -> None:
        self._blueprint = blueprint
        self._session = session
        self._run_id = run_id
        self._durability = durability
        self._budget = budget
        self._pipeline = Pipeline()
        self._held_back: _Stored | None = None
        self._looked_at = 0.0
        self.state: S = blueprint.template
        self.fields: Fields = {}
        self.progress = Progress()
        self._entries: Sequence[Entry[Message]] = ()
        self._next_pos = self._head = 0
        self._thread_no: int | None = None
        # Tools write while siblings of their node commit: one at a time, so that each knows the head.
        self._writing = asyncio.Lock()
        self._ended_tools: dict[UUID, ToolResult] = {}
        self.failure: AgentFlowError | None = None

    @property
    def is_new(self) -> bool:
        """Whether the thread has no checkpoint yet."""
        return self._head == 0

    @property
    def from_cache(self) -> bool:
        """Whether the state came from a cache and no write has confirmed it yet."""
        return self._session.from_cache

    @property
    def head(self) -> int:
        """The version that is stored; 0 for none."""
        return self._head

    @property
    def thread_no(self) -> int:
        """Which life of the thread this is; 0 before the first checkpoint."""
        return self._thread_no or 0

    def open(self) -> None:
        """Take the state from what the session read.

        Raises:
            CorruptStateError: It does not read as this graph's state.
        """
        self._adopt(self._session.snapshot)

    def rewind(self, snapshot: Snapshot | None) -> None:
        """Take the state of an older version, or of a new thread; the next commit makes it the latest."""
        if snapshot is None:
            self.state, self.progress = self._blueprint.template.model_copy(deep=True), Progress()
            return
        here = dict(self._entries)
        context = []
        for row in snapshot.messages:
            then, now = decode_message(row), here.get(row.pos)
            # Those that never left stay the rows they are.
            context.append(now if now is not None and now == then else then)
        self.state = decode_state(self._blueprint.state_type, snapshot.fields, context)
        self.progress = progress_of(snapshot.fields)

    def messages_from(self, pos: int) -> list[Message]:
        """Those of the context that stand at a position or behind it."""
        return [message for at, message in self._entries if at >= pos]

    async def reload(self) -> None:
        """Start again from what the store holds now."""
        await self.abandon()
        self._adopt(await self._session.reload())

    async def commit(
        self,
        state: S,
        progress: Progress,
        *,
        source: Source,
        node: str,
        starts_run: bool = False,
        parent: int | None = None,
        marks: Fields | None = None,
    ) -> tuple[Committed, list[Message]]:
        """Make a state durable, as soon as the run's durability asks for it, and adopt it.

        `marks` stand beside the state's fields until the next commit; their names begin with `$`.

        Returns:
            The acknowledgement, and the messages that joined the context.

        Raises:
            What `ThreadSession.append` raises; then nothing was stored or adopted.
            StateEncodingError: The state is not data; a NodeEncodingError when a node made it.
        """
        with Blamed(source, node):
            fields = encode_fields(state) | progress.as_fields() | (marks or {})
        change = change_context(self._entries, self._next_pos, state.context)
        added = [message for _, message in change.added]
        before, begins_thread = self.state.context, self.is_new
        async with self._writing:
            if self._may_wait(state, begins=starts_run or parent is not None):
                self._held_back = self._held_back or _Stored(self.fields, self._entries, node)
                self._held_back.node = node
                committed = Committed(self._head, self.thread_no, await self._should_stop())
            else:
                stored = self._held_back
                with Blamed(source, node):
                    write = self._write(
                        state,
                        diff(self.fields if stored is None else stored.fields, fields),
                        fields,
                        change if stored is None else stored.change_to(change.entries),
                    )
                write.source, write.node, write.starts_run, write.parent = source, node, starts_run, parent
                committed = await self._send(write)
            self.state, self.fields, self.progress = state, fields, progress
            self._entries, self._next_pos = change.entries, change.next_pos
        note_checkpoint(committed.head, node, source)
        if self._budget is not None:
            # What a client says it spent, or an older version had, was not spent by this run.
            by_hand = source == "update" and not node
            models_spoke = source not in ("input", "fork", "rollback") and not by_hand
            tokens = tokens_of(added, before) if models_spoke else (0, 0)
            self._budget.spend(Boundary(added, *tokens, begins_thread=begins_thread))
        return committed, added

    async def flush(self) -> None:
        """Make durable what is under way or held back.

        Raises:
            What `ThreadSession.append` raises.
        """
        async with self._writing:
            await self._flush()

    async def abandon(self) -> None:
        """Give up what is under way or held back: the run ends at its last durable step."""
        self._held_back = None
        await self._pipeline.abandon()

    async def recover(self) -> bool:
        """After a write that was refused: back to what is durable; whether there is anything else to try."""
        had = bool(self._ended_tools or self._held_back or self._pipeline.failure)
        self._ended_tools.clear()
        if self._held_back or self._pipeline.failure:
            await self.reload()
        return had

    def _may_wait(self, state: S, *, begins: bool) -> bool:
        """Whether a checkpoint may be held back: not where a run begins or rests, nor a tool's answer."""
        runs_on = state.execution_meta.is_running() and not begins
        return self._durability == "exit" and runs_on and not self._ended_tools

    async def _should_stop(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < _LOOK_EVERY_S:
            return False
        self._looked_at = now
        with suppress(StorageError):  # its own writes will tell
            return await self._session.stop_requested()
        return False

    async def _flush(self) -> None:
        if self._held_back is not None:
            stored = self._held_back
            change = stored.change_to(self._entries)
            with Blamed("node", stored.node):
                write = self._write(self.state, diff(stored.fields, self.fields), self.fields, change)
            write.node = stored.node
            await self._send(write)
        await self._pipeline.flush()

    def _write(
        self, state: S, patch: Patch, fields: Fields, change: ContextChange[Message]
    ) -> CheckpointWrite:
        return CheckpointWrite(
            expected_head=self._head,
            thread_no=self._thread_no,
            source="node",
            node="",
            step=state.execution_meta.step,
            run_id=self._run_id,
            patch=patch,
            fields=fields,
            added=[encode_message(message, pos) for pos, message in change.added],
            removed=change.removed,
            tool_results=list(self._ended_tools.values()),
        )

    async def _send(self, write: CheckpointWrite) -> Committed:
        """Write a checkpoint now, or behind those under way when nothing rests on it yet."""
        if self._durability == "async" and not write.starts_run and write.parent is None:
            await self._pipeline.put(write, self._append)
            if write.tool_results:
                await self._pipeline.flush()
            committed = Committed(self._head + 1, self.thread_no, self._pipeline.stop_requested)
        else:
            await self._pipeline.flush()
            committed = await self._append(write)
            self._looked_at = asyncio.get_running_loop().time()
        self._head, self._thread_no = committed.head, committed.thread_no
        self._held_back = None
        self._forget(write.tool_results)
        return committed

    async def _append(self, write: CheckpointWrite) -> Committed:
        with Blamed(write.source, write.node):
            return await self._session.append(write)

    async def start_tools(self, intents: Sequence[ToolIntent]) -> Sequence[ToolStart]:
        """Make durable that tools are about to run, and first of all that they were asked for.

        See `ThreadSession.start_tools`.
        """
        async with self._writing:
            try:
                await self._flush()
                return await self._session.start_tools(
                    ToolStarts(self._head, self.thread_no, self._run_id, intents)
                )
            except AgentFlowError as error:
                self.failure = error
                raise

    async def finish_tool(self, ended: ToolResult, at_once: bool) -> None:
        """Keep what a tool answered: with the next write to the thread, or at once."""
        self._ended_tools[ended.key] = ended
        if not at_once:
            return
        async with self._writing:
            results = list(self._ended_tools.values())
            if not results:  # a write that was under way took it along
                return
            try:
                await self._session.finish_tools(self.thread_no, results)
            except AgentFlowError as error:
                self.failure = error
                raise
            self._forget(results)

    def _forget(self, results: Sequence[ToolResult]) -> None:
        for ended in results:
            self._ended_tools.pop(ended.key, None)

    def _adopt(self, snapshot: Snapshot | None) -> None:
        if snapshot is None:
            self.state = self._blueprint.template.model_copy(deep=True)
            self.fields, self._entries, self._thread_no = {}, (), None
            self._next_pos = self._head = 0
        else:
            self._entries = [(row.pos, decode_message(row)) for row in snapshot.messages]
            self._next_pos, self._head = snapshot.next_pos, snapshot.head
            self._thread_no = snapshot.thread_no
            self.fields = snapshot.fields
            context = [message for _, message in self._entries]
            self.state = decode_state(self._blueprint.state_type, snapshot.fields, context)
        self.progress = progress_of(self.fields)
