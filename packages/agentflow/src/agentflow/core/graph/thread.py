"""A thread while a run works on it: the live state, and what of it is stored."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.progress import FIELD, Progress, progress_of
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.codec import decode_message, decode_state, encode_fields, encode_message
from agentflow.core.state.context_log import Entry, change_context
from agentflow.core.state.message import Message
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.delta import Fields, diff
from agentflow.storage.checkpointer.types import CheckpointWrite, Committed, Snapshot, Source


class LiveThread[S: AgentState]:
    """Holds the state at the thread's head and moves both forward together.

    `state` and `progress` are what the last committed checkpoint holds; a commit that fails
    leaves them as they were.
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

    @property
    def is_new(self) -> bool:
        """Whether the thread has no checkpoint yet."""
        return self._head == 0

    @property
    def from_cache(self) -> bool:
        """Whether the state came from a cache and no write has confirmed it yet."""
        return self._session.from_cache

    def open(self) -> None:
        """Take the state from what the session read.

        Raises:
            CorruptStateError: It does not read as this graph's state.
        """
        self._adopt(self._session.snapshot)

    async def reload(self) -> None:
        """Start again from what the store holds now."""
        self._adopt(await self._session.reload())

    async def commit(
        self, state: S, progress: Progress, *, source: Source, node: str, starts_run: bool = False
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
        committed = await self._session.append(
            CheckpointWrite(
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
            )
        )
        self.state, self.fields, self.progress = state, fields, progress
        self._entries, self._next_pos = change.entries, change.next_pos
        self._head, self._thread_no = committed.head, committed.thread_no
        return committed, [message for _, message in change.added]

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
