"""Puts: a compare-and-swap of the thread's head, and of its namespace by what the run had read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from langgraph.checkpoint.base import ChannelVersions, Checkpoint

from agentflow.core.state.context_log import ContextChange, change_context
from agentflow.errors import StaleCheckpointError, ThreadNotFoundError
from agentflow.integrations.langgraph.book import Book, Last, ThreadState, state_of
from agentflow.integrations.langgraph.entries import (
    MESSAGES,
    Entry,
    encode_channels,
    encode_entry,
    fields_with,
    node_of,
    step_forward,
)
from agentflow.integrations.langgraph.ids import uuid_of
from agentflow.integrations.langgraph.messages import Row, adopt, is_message_list, rows_for
from agentflow.integrations.langgraph.seen import Seen, TaskWrites
from agentflow.integrations.langgraph.values import Values
from agentflow.storage.checkpointer.delta import diff
from agentflow.storage.checkpointer.langgraph_store import NEW_THREAD, ROOT, LangGraphStore
from agentflow.storage.checkpointer.locks import LocalLocks
from agentflow.storage.checkpointer.postgres import PgCheckpointer
from agentflow.storage.checkpointer.types import CheckpointWrite, Scope, Source

_SOURCES: Final[dict[str, Source]] = {"input": "input", "loop": "node", "update": "update", "fork": "fork"}
_TURN_S: Final = 30.0  # after so long in the queue of one's own process, the database decides
_TRIES: Final = 100  # each lost one means that somebody else's write went through


class _MovedError(Exception):
    """The thread moved between two looks at it: look again."""


@dataclass(frozen=True, slots=True)
class Put:
    """One checkpoint as LangGraph hands it over, to be stored in `thread_id`."""

    thread_id: str
    namespace: str
    parent: str | None
    checkpoint: Checkpoint
    metadata: Mapping[str, Any]
    new_versions: ChannelVersions
    seen: Seen | None

    @property
    def node(self) -> str:
        """The namespace as the tables have it."""
        return node_of(self.namespace)

    @property
    def source(self) -> Source:
        """Why it was made, in the tables' words."""
        return _SOURCES.get(str(self.metadata.get("source")), "node")


class Writer:
    """Stores checkpoints and pending writes of one scope's threads."""

    def __init__(self, home: PgCheckpointer, scope: Scope, book: Book) -> None:
        """Nothing is written yet."""
        self._home = home
        self._scope = scope
        self._store = LangGraphStore(home, scope)
        self._book = book
        self._locks = LocalLocks()

    async def put(self, put: Put, values: Values) -> None:
        """Store a checkpoint unless its namespace has moved since the run read it.

        Raises:
            StaleCheckpointError: It has, or the parent is gone. Nothing was stored.
            ThreadNotFoundError: The thread is another principal's.
            TooLargeError, InvalidIdError, StateEncodingError: It cannot be stored. Nothing was.
            StoreUnavailableError: No answer from the store; it may or may not be stored.

        One round trip when this saver wrote the thread last, else one more to read it.
        """
        async with self._turn(put.thread_id):
            state = await self._put(put, values)
            self._book.keep(put.thread_id, state)
        if put.seen is not None:
            put.seen.thread_no = state.thread_no
            put.seen.heads[put.node] = state.head
            await self._send_early(put.thread_id, put.seen)

    async def put_writes(self, thread_id: str, results: TaskWrites, seen: Seen | None) -> None:
        """Store a task's results, each once.

        Raises:
            ThreadNotFoundError: The thread is gone, or lives another life. Nothing was stored.

        One round trip.
        """
        number = seen.thread_no if seen is not None else None
        while not await self._store.put_writes(
            thread_id, number, results.checkpoint_id, results.task, results.writes
        ):
            if seen is None or number is not None:
                raise ThreadNotFoundError(
                    f"There is no thread {thread_id!r}: it was deleted while a run wrote to it."
                )
            if seen.thread_no is None:
                # The run's first checkpoint, which makes the thread, is still on its way.
                seen.early.append(results)
                return
            number = seen.thread_no

    async def _send_early(self, thread_id: str, seen: Seen) -> None:
        while seen.early:
            await self.put_writes(thread_id, seen.early.pop(0), seen)

    @asynccontextmanager
    async def _turn(self, thread_id: str) -> AsyncGenerator[None]:
        """Puts of one process on one thread queue up, instead of refusing each other."""
        held = await self._locks.acquire(thread_id, _TURN_S)
        try:
            yield
        finally:
            if held:
                self._locks.release(thread_id)

    async def _put(self, put: Put, values: Values) -> ThreadState:
        state = self._book.get(put.thread_id)
        for _ in range(_TRIES):
            fresh = state is None
            if state is None:
                state = await self._load(put.thread_id)
            try:
                last = await self._admit(put, state)
                if last is not None and last[0] == put.checkpoint["id"]:
                    return state  # repeated: it is stored already
                return await self._append(put, state, values)
            except _MovedError:
                state = None
            except StaleCheckpointError:
                if fresh:
                    raise
                state = None
        raise _stale(put, 0, None)

    async def _load(self, thread_id: str) -> ThreadState:
        return state_of(await self._home.load(self._scope, thread_id), thread_id)

    async def _append(self, put: Put, state: ThreadState, values: Values) -> ThreadState:
        write, after = plan(put, state, values)
        try:
            committed = await self._home.append(self._scope, put.thread_id, write, new_thread=NEW_THREAD)
        except StaleCheckpointError as error:
            raise _MovedError from error  # perhaps in another namespace only
        return replace(after, thread_no=committed.thread_no, head=committed.head)

    async def _admit(self, put: Put, state: ThreadState) -> Last | None:
        """The namespace's last checkpoint, if the put may follow.

        Raises:
            StaleCheckpointError: It may not.
        """
        seen = put.seen
        if seen is not None and seen.thread_no is not None and seen.thread_no != state.thread_no:
            raise _stale(put, seen.heads.get(put.node, 0), state.head)
        if state.thread_no is None:
            if put.parent is not None:
                raise _stale(put, 1, 0)
            return None
        last, parent_exists = await self._stand(put, state)
        if last is not None and put.checkpoint["id"] == last[0]:
            return last
        if not may_follow(put, last, parent_exists=parent_exists):
            raise _stale(put, 0 if seen is None else seen.heads.get(put.node, 0), state.head)
        return last

    async def _stand(self, put: Put, state: ThreadState) -> tuple[Last | None, bool]:
        """The namespace's last checkpoint, and whether it holds the parent; asked if not known."""
        if put.node in state.lasts:
            last = state.lasts[put.node]
            if put.parent is None or (last is not None and last[0] == put.parent):
                return last, True
        parent = None if put.parent is None else uuid_of(put.parent)
        stand = await self._store.namespace(put.thread_id, put.node, parent)
        if stand.head != state.head:
            raise _MovedError
        return stand.last, stand.has_parent


def may_follow(put: Put, last: Last | None, *, parent_exists: bool) -> bool:
    """Whether a namespace at `last` takes this checkpoint.

    A parent that is not the last one was chosen on purpose if the run read it when the last one was there
    already; else the run was overtaken. Forks say of themselves that they are, so it is enough to have seen
    the last one. A caller that read nothing may append, fork, or begin a new line.
    """
    if last is None:
        return put.parent is None
    if put.parent == last[0]:
        return True
    if put.parent is not None and not parent_exists:
        return False
    seen = put.seen or Seen(None)
    if put.source == "fork":
        return last[1] <= seen.heads.get(put.node, last[1])
    known = seen.reads.get((put.node, put.parent))
    return put.parent is None if known is None else last[1] <= known


def plan(put: Put, state: ThreadState, values: Values) -> tuple[CheckpointWrite, ThreadState]:
    """What a put writes, given the thread as it is, and the thread once that is committed.

    Raises:
        StateEncodingError: Part of it cannot be stored as data.
    """
    before = state.spaces.get(put.node)
    base = before if before is not None and before["id"] == put.parent else None
    value: Any = put.checkpoint["channel_values"].get(MESSAGES)
    has_rows = put.node == ROOT and is_message_list(value)
    change = _change(put, state, base, value if has_rows else [], values)
    channels = encode_channels(put.checkpoint, put.new_versions, base, MESSAGES if has_rows else None, values)
    seq = state.head + 1
    entry = encode_entry(put.checkpoint, put.metadata, put.parent, seq, channels, values, has_rows=has_rows)
    spaces = step_forward(state.spaces, put.node, entry)
    # When the graph itself moves on, the namespaces below its last step are asked about again, if ever.
    known = {node: last for node, last in state.lasts.items() if put.node != ROOT or node in spaces}
    lasts = {**known, put.node: (put.checkpoint["id"], seq)}
    next_pos = change.next_pos if change is not None else state.next_pos
    entries = change.entries if change is not None else state.entries
    after = ThreadState(state.thread_no, seq, next_pos, spaces, entries, lasts)
    return _write(put, state, fields_with(spaces), change), after


def _change(
    put: Put, state: ThreadState, base: Entry | None, messages: list[Any], values: Values
) -> ContextChange[Row] | None:
    """How the message rows change; None when they do not."""
    if put.node != ROOT:
        return None
    if base is not None and base.get("rows") and MESSAGES not in put.new_versions:
        version = put.checkpoint["channel_versions"].get(MESSAGES)
        if version is not None and version == base["versions"].get(MESSAGES):
            return None
    rows = rows_for(state.entries, messages, values)
    change = change_context(state.entries, state.next_pos, rows)
    adopt(change.entries, rows)
    return change


def _write(
    put: Put, state: ThreadState, fields: dict[str, Any], change: ContextChange[Row] | None
) -> CheckpointWrite:
    sent_at = _seconds(put.checkpoint["ts"])
    step = put.metadata.get("step")
    return CheckpointWrite(
        expected_head=state.head,
        thread_no=state.thread_no,
        source=put.source,
        node=put.node,
        step=step if isinstance(step, int) else 0,
        run_id=str(put.metadata.get("run_id") or ""),
        patch=diff(fields_with(state.spaces), fields) if state.thread_no is not None else {},
        fields=fields,
        added=[row.at(pos, sent_at) for pos, row in change.added] if change is not None else (),
        removed=change.removed if change is not None else (),
        checkpoint_id=uuid_of(put.checkpoint["id"]),
    )


def _seconds(ts: str) -> float | None:
    try:
        return datetime.fromisoformat(ts).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _stale(put: Put, expected: int, found: int | None) -> StaleCheckpointError:
    return StaleCheckpointError(put.thread_id, expected=expected, found=found)
