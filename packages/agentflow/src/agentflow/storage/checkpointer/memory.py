"""A checkpointer in this process's memory: for tests and trials, gone with the process.

It keeps what `PgCheckpointer` keeps, encoded in the same way, so that what works here works there.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from agentflow.errors import (
    CheckpointNotFoundError,
    ConflictError,
    StaleCheckpointError,
    ThreadBusyError,
    ThreadNotFoundError,
)
from agentflow.storage.checkpointer.base import BaseCheckpointer, ThreadSession
from agentflow.storage.checkpointer.delta import Fields, apply
from agentflow.storage.checkpointer.filters import (
    CopiedThread,
    ThreadChange,
    ThreadFilter,
    ThreadPlace,
    ThreadSort,
    changed,
    check_change,
    check_deletion,
    check_filter,
    check_search,
    matches,
    sort_key,
)
from agentflow.storage.checkpointer.limits import (
    check_keep_last,
    check_messages_page,
    check_new_thread,
    check_page,
    check_thread_id,
    check_tool_results,
    encode_write,
)
from agentflow.storage.checkpointer.locks import LocalLocks
from agentflow.storage.checkpointer.memory_thread import MemoryThread
from agentflow.storage.checkpointer.sizes import Limits
from agentflow.storage.checkpointer.types import (
    BEGINNING,
    PLAIN_TEXT,
    CheckpointInfo,
    CheckpointWrite,
    Committed,
    MessagePage,
    MessagePlace,
    NewThread,
    Scope,
    Snapshot,
    StoredMessage,
    ThreadInfo,
    ToolCallInfo,
    ToolResult,
    ToolStart,
    ToolStarts,
    snapshot_after,
)
from agentflow.utils.jsontext import json_text, size_bytes

_Key = tuple[object, int, str]


class InMemoryCheckpointer(BaseCheckpointer):
    """Keeps threads in memory, isolated by value. Safe to share between graphs, tasks and threads."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        thread_ttl: timedelta | None = None,
        lock_wait_s: float = 30.0,
    ) -> None:
        """Start empty.

        Args:
            limits: Sizes above which a checkpoint is refused.
            thread_ttl: Threads expire so long after their last checkpoint; None keeps them.
            lock_wait_s: How long a run waits for its thread unless it says otherwise.
        """
        self._limits = limits or Limits()
        self._ttl = thread_ttl
        self._lock_wait_s = lock_wait_s
        self._threads: dict[_Key, MemoryThread] = {}
        self._locks = LocalLocks()
        self._numbers = itertools.count(1)

    async def asetup(self) -> None:
        """Nothing to make ready."""

    async def aclose(self) -> None:
        """Nothing to give back; the threads stay."""

    def session(
        self,
        scope: Scope,
        thread_id: str,
        *,
        new_thread: NewThread | None = None,
        wait_s: float | None = None,
        without_messages: bool = False,
    ) -> ThreadSession:
        """See `BaseCheckpointer.session`."""
        check_thread_id(thread_id)
        attributes = new_thread or NewThread()
        check_new_thread(attributes)
        session = _MemorySession(
            self, scope, thread_id, attributes, self._lock_wait_s if wait_s is None else wait_s
        )
        session.without_messages = without_messages
        return session

    async def load(
        self, scope: Scope, thread_id: str, *, last_messages: int | None = None
    ) -> Snapshot | None:
        """See `BaseCheckpointer.load`."""
        thread = self._find(scope, thread_id)
        if thread is None:
            return None
        snapshot = thread.snapshot()
        if last_messages is not None:
            snapshot.messages = snapshot.messages[max(0, len(snapshot.messages) - last_messages) :]
        return snapshot

    async def load_at(self, scope: Scope, thread_id: str, seq: int) -> Snapshot:
        """See `BaseCheckpointer.load_at`."""
        thread = self._required(scope, thread_id)
        if not thread.pruned < seq <= len(thread.checkpoints):
            raise CheckpointNotFoundError(f"Thread {thread_id!r} has no checkpoint {seq}.")
        fields: Fields = {}
        for patch in thread.patches[:seq]:
            fields = apply(fields, json.loads(patch))
        rows = [r for r in thread.rows if r.seq <= seq and (r.removed_seq is None or r.removed_seq > seq)]
        messages = sorted((row.message for row in rows), key=lambda message: message.pos)
        return Snapshot(thread.thread_no, seq, thread.next_pos, fields, messages)

    async def history(
        self, scope: Scope, thread_id: str, *, before: int | None = None, limit: int = 100
    ) -> Sequence[CheckpointInfo]:
        """See `BaseCheckpointer.history`."""
        check_page(0, limit)
        thread = self._find(scope, thread_id)
        if thread is None:
            return []
        end = len(thread.checkpoints) if before is None else min(before - 1, len(thread.checkpoints))
        return thread.checkpoints[max(thread.pruned, end - limit) : max(0, end)][::-1]

    async def tool_calls(self, scope: Scope, thread_id: str) -> Sequence[ToolCallInfo]:
        """See `BaseCheckpointer.tool_calls`."""
        thread = self._find(scope, thread_id)
        found = [] if thread is None else [tool.info() for tool in thread.tools.values()]
        return sorted(found, key=lambda tool: (tool.seq, tool.node))

    async def get_thread(self, scope: Scope, thread_id: str) -> ThreadInfo | None:
        """See `BaseCheckpointer.get_thread`."""
        thread = self._find(scope, thread_id)
        return thread.info() if thread else None

    async def list_threads(
        self,
        scope: Scope,
        *,
        search: str | None = None,
        offset: int = 0,
        limit: int = 100,
        id_prefix: str = "",
    ) -> Sequence[ThreadInfo]:
        """See `BaseCheckpointer.list_threads`."""
        check_page(offset, limit)
        found = [
            thread
            for (tenant_id, placement, _), thread in list(self._threads.items())
            if (tenant_id, placement) == (scope.tenant_id, scope.placement)
            and thread.is_visible(scope)
            and _holds(search, thread.thread_id.removeprefix(id_prefix), thread.attributes.name)
        ]
        found.sort(key=lambda thread: (thread.updated_at, thread.thread_id), reverse=True)
        return [replace(thread.info(), interrupts=None) for thread in found[offset : offset + limit]]

    async def search_threads(
        self,
        scope: Scope,
        wanted: ThreadFilter,
        *,
        sort: ThreadSort = "-updated_at",
        after: ThreadPlace | None = None,
        limit: int = 100,
    ) -> Sequence[ThreadInfo]:
        """See `BaseCheckpointer.search_threads`."""
        check_search(wanted, sort, after, limit)
        behind = None if after is None else (after.key, after.thread_id)
        found = {
            (sort_key(sort, thread.created_at, thread.updated_at), thread.thread_id): thread
            for thread in self._meeting(scope, wanted)
        }
        places = sorted(place for place in found if behind is None or place > behind)
        return [found[place].info() for place in places[:limit]]

    async def count_threads(self, scope: Scope, wanted: ThreadFilter) -> int:
        """See `BaseCheckpointer.count_threads`."""
        check_filter(wanted)
        return len(self._meeting(scope, wanted))

    async def delete_threads(self, scope: Scope, wanted: ThreadFilter, *, limit: int = 100) -> Sequence[str]:
        """See `BaseCheckpointer.delete_threads`."""
        check_deletion(wanted, limit)
        gone = sorted(thread.thread_id for thread in self._meeting(scope, wanted))[:limit]
        for thread_id in gone:
            del self._threads[_key(scope, thread_id)]
        return gone

    async def update_thread(self, scope: Scope, thread_id: str, change: ThreadChange) -> ThreadInfo:
        """See `BaseCheckpointer.update_thread`."""
        check_change(change)
        thread = self._required(scope, thread_id)
        attributes = changed(thread.attributes, json.loads(thread.metadata), change)
        check_new_thread(attributes)
        thread.attributes, thread.metadata = attributes, json_text(attributes.metadata, field="metadata")
        if change.sets_expiry:
            thread.expires_at = change.expires_at
        return thread.info()

    async def copy_thread(self, scope: Scope, thread_id: str, to_thread: str) -> CopiedThread:
        """See `BaseCheckpointer.copy_thread`."""
        thread = self._required(scope, thread_id)
        check_thread_id(to_thread)
        if _key(scope, to_thread) in self._threads:
            raise ConflictError(
                f"Thread {to_thread!r} exists already: delete it first, or copy to another id."
            )
        self._threads[_key(scope, to_thread)] = thread.copy(to_thread, next(self._numbers))
        return CopiedThread(len(thread.checkpoints))

    async def list_messages(
        self,
        scope: Scope,
        thread_id: str,
        *,
        search: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> Sequence[StoredMessage]:
        """See `BaseCheckpointer.list_messages`."""
        check_page(offset, limit)
        thread = self._required(scope, thread_id)
        messages = [message for message in thread.snapshot().messages if _holds(search, message.content)]
        return messages[offset : None if limit is None else offset + limit]

    async def read_messages(
        self,
        scope: Scope,
        thread_id: str,
        *,
        after: MessagePlace = BEGINNING,
        skip: int = 0,
        limit: int = 500,
        max_bytes: int = 1024 * 1024,
        outline: bool = False,
    ) -> MessagePage:
        """See `BaseCheckpointer.read_messages`."""
        check_messages_page(skip, limit, max_bytes)
        thread = self._required(scope, thread_id)
        version = len(thread.checkpoints) if after.version is None else after.version
        if after.thread_no not in (None, thread.thread_no) or version > len(thread.checkpoints):
            raise ThreadNotFoundError(f"There is no thread {thread_id!r}.")
        rows = (
            row for row in thread.rows if row.seq <= version and (row.removed_seq or version + 1) > version
        )
        behind = sorted((row.message for row in rows if row.message.pos > after.pos), key=lambda one: one.pos)
        page: list[StoredMessage] = []
        size = 0
        for message in behind[skip : skip + limit]:
            size += size_bytes(message.content) + size_bytes(message.extra or "")
            if page and size > max_bytes:
                break
            page.append(_outlined(message) if outline else message)
        pos = page[-1].pos if page else after.pos
        return MessagePage(page, MessagePlace(thread.thread_no, version, pos), is_last=not page)

    async def delete_thread(self, scope: Scope, thread_id: str) -> bool:
        """See `BaseCheckpointer.delete_thread`."""
        if self._find(scope, thread_id) is None:
            return False
        del self._threads[_key(scope, thread_id)]
        return True

    async def request_stop(self, scope: Scope, thread_id: str) -> bool:
        """See `BaseCheckpointer.request_stop`."""
        thread = self._find(scope, thread_id)
        if thread is None:
            return False
        thread.stop_requested = True
        return True

    async def prune_thread(self, scope: Scope, thread_id: str, *, keep_last: int) -> int:
        """See `BaseCheckpointer.prune_thread`."""
        check_keep_last(keep_last)
        return self._required(scope, thread_id).prune(keep_last)

    async def prune(
        self, *, keep_last: int, idle_for: timedelta = timedelta(minutes=10), batch_size: int = 100
    ) -> int:
        """See `BaseCheckpointer.prune`."""
        check_keep_last(keep_last)
        idle_since = datetime.now(UTC) - idle_for
        idle = [thread for thread in list(self._threads.values()) if thread.updated_at <= idle_since]
        return sum(thread.prune(keep_last) > 0 for thread in idle)

    async def delete_expired(self, *, batch_size: int = 1000, older_than: timedelta | None = None) -> int:
        """See `BaseCheckpointer.delete_expired`; the batch size means nothing here."""
        now = datetime.now(UTC)
        gone = [
            key
            for key, thread in list(self._threads.items())
            if (
                (thread.expires_at is not None and thread.expires_at <= now)
                or (older_than is not None and thread.updated_at <= now - older_than)
            )
            and not thread.lives(now)
        ]
        for key in gone:
            self._threads.pop(key, None)
        return len(gone)

    def _meeting(self, scope: Scope, wanted: ThreadFilter) -> list[MemoryThread]:
        """The scope's threads that meet every condition."""
        return [
            thread
            for (tenant_id, placement, _), thread in list(self._threads.items())
            if (tenant_id, placement) == (scope.tenant_id, scope.placement)
            and thread.is_visible(scope)
            and matches(wanted, thread.info(), thread.snapshot().messages)
        ]

    def _find(self, scope: Scope, thread_id: str) -> MemoryThread | None:
        check_thread_id(thread_id)
        thread = self._threads.get(_key(scope, thread_id))
        return thread if thread is not None and thread.is_visible(scope) else None

    def _required(self, scope: Scope, thread_id: str) -> MemoryThread:
        thread = self._find(scope, thread_id)
        if thread is None:
            raise ThreadNotFoundError(f"There is no thread {thread_id!r}.")
        return thread

    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        encoded = encode_write(write, self._limits.within(scope.limits))
        thread = self._threads.get(_key(scope, thread_id))
        if thread is not None and not thread.is_visible(scope):
            raise ThreadNotFoundError(f"There is no thread {thread_id!r}.")
        if thread is not None and thread.has_made(write):
            return Committed(write.expected_head + 1, thread.thread_no, thread.stop_requested)
        found = len(thread.checkpoints) if thread else 0
        same_life = thread is None or write.expected_head == 0 or write.thread_no == thread.thread_no
        if found != write.expected_head or not same_life:
            raise StaleCheckpointError(thread_id, expected=write.expected_head, found=found)
        now = datetime.now(UTC)
        if thread is None:
            metadata = json_text(attributes.metadata, field="metadata")
            if scope.principal is not None:
                attributes = replace(attributes, user_id=scope.principal)
            thread = MemoryThread(next(self._numbers), thread_id, attributes, metadata, now, now)
            self._threads[_key(scope, thread_id)] = thread
        thread.store(write, encoded.patch, encoded.fields, self._ttl)
        return Committed(found + 1, thread.thread_no, thread.stop_requested)

    def _start_tools(self, scope: Scope, thread_id: str, starts: ToolStarts) -> Sequence[ToolStart]:
        thread = self._find(scope, thread_id)
        found = len(thread.checkpoints) if thread else 0
        if thread is None or found != starts.expected_head or thread.thread_no != starts.thread_no:
            raise StaleCheckpointError(thread_id, expected=starts.expected_head, found=found)
        return [thread.start(starts, intent) for intent in starts.intents]

    def _finish_tools(
        self, scope: Scope, thread_id: str, thread_no: int, results: Sequence[ToolResult]
    ) -> None:
        check_tool_results(results, self._limits.within(scope.limits))
        thread = self._find(scope, thread_id)
        if thread is not None and thread.thread_no == thread_no:
            thread.finish(results)


class _MemorySession(ThreadSession):
    from_cache = False
    without_messages = False

    def __init__(
        self, home: InMemoryCheckpointer, scope: Scope, thread_id: str, attributes: NewThread, wait_s: float
    ) -> None:
        self._home = home
        self._scope = scope
        self._thread_id = thread_id
        self._attributes = attributes
        self._wait_s = wait_s
        self.snapshot: Snapshot | None = None

    async def __aenter__(self) -> Self:
        if not await self._home._locks.acquire(_key(self._scope, self._thread_id), self._wait_s):  # noqa: SLF001 - one unit
            raise ThreadBusyError(
                f"Another run works on thread {self._thread_id!r}; try again when it is done."
            )
        await self.reload()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._home._locks.release(_key(self._scope, self._thread_id))  # noqa: SLF001 - one unit

    async def append(self, write: CheckpointWrite) -> Committed:
        committed = self._home._append(self._scope, self._thread_id, self._attributes, write)  # noqa: SLF001 - one unit
        if write.expected_head != (0 if self.snapshot is None else self.snapshot.head):
            # It was sent again, or goes on from what this session did not read.
            await self.reload()
            return committed
        self.snapshot = snapshot_after(self.snapshot, write, committed)
        if self.without_messages:
            self.snapshot.messages = []
        return committed

    async def stop_requested(self) -> bool:
        thread = self._home._find(self._scope, self._thread_id)  # noqa: SLF001 - one unit
        return thread is not None and thread.stop_requested

    async def start_tools(self, starts: ToolStarts) -> Sequence[ToolStart]:
        return self._home._start_tools(self._scope, self._thread_id, starts)  # noqa: SLF001 - one unit

    async def finish_tools(self, thread_no: int, results: Sequence[ToolResult]) -> None:
        self._home._finish_tools(self._scope, self._thread_id, thread_no, results)  # noqa: SLF001 - one unit

    async def reload(self) -> Snapshot | None:
        last = 0 if self.without_messages else None
        self.snapshot = await self._home.load(self._scope, self._thread_id, last_messages=last)
        return self.snapshot


def _key(scope: Scope, thread_id: str) -> _Key:
    return (scope.tenant_id, scope.placement, thread_id)


def _outlined(message: StoredMessage) -> StoredMessage:
    """Without what no tool call can be in."""
    content = "" if message.content_kind == PLAIN_TEXT else message.content
    return replace(message, content=content, extra=None)


def _holds(search: str | None, *texts: Any) -> bool:
    return search is None or any(text is not None and search.lower() in text.lower() for text in texts)
