"""A thread while a run works on it: the live state, and what of it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.progress import FIELD, Progress, progress_of
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.codec import decode_message, decode_state, encode_fields, encode_message
from agentflow.core.state.context_log import Entry, change_context
from agentflow.core.state.message import Message
from agentflow.errors import AgentFlowError
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.delta import Fields, diff
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


class LiveThread[S: AgentState]:
    """Holds the state at the thread's head and moves both forward together.

    `state` and `progress` are what the last committed checkpoint holds; a commit that fails
    leaves them as they were.

    Attributes:
        failure: Why the tool ledger could not be written: the run must end with it.
    """

    def __init__(self, blueprint: Blueprint[S], session: ThreadSession, run_id: str) -> None:
        self._blueprint = blueprint
        self._session = session
        self._run_id = run_id
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

    async def reload(self) -> None:
        """Start again from what the store holds now."""
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
    ) -> tuple[Committed, list[Message]]:
        """Make a state durable and adopt it.

        Returns:
            The acknowledgement, and the messages that joined the context.

        Raises:
            What `ThreadSession.append` raises; then nothing was stored or adopted.
            StateEncodingError: The state is not data.
        """
        fields = encode_fields(state)
        left = progress.as_data()
        if left:
            fields[FIELD] = left
        change = change_context(self._entries, self._next_pos, state.context)
        async with self._writing:
            ended = list(self._ended_tools.values())
            write = CheckpointWrite(
                expected_head=self._head,
                thread_no=self._thread_no,
                source=source,
                node=node,
                step=state.execution_meta.step,
                run_id=self._run_id,
                patch=diff(self.fields, fields),
                fields=fields,
                added=[encode_message(message, pos) for pos, message in change.added],
                removed=change.removed,
                starts_run=starts_run,
                parent=parent,
                tool_results=ended,
            )
            committed = await self._session.append(write)
            self._head, self._thread_no = committed.head, committed.thread_no
            self._forget(ended)
        self.state, self.fields, self.progress = state, fields, progress
        self._entries, self._next_pos = change.entries, change.next_pos
        return committed, [message for _, message in change.added]

    async def start_tools(self, intents: Sequence[ToolIntent]) -> Sequence[ToolStart]:
        """Make durable that tools are about to run; see `ThreadSession.start_tools`."""
        async with self._writing:
            try:
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

    def drop_tool_results(self) -> bool:
        """Give up on results that cannot be stored; whether there were any."""
        had = bool(self._ended_tools)
        self._ended_tools.clear()
        return had

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
