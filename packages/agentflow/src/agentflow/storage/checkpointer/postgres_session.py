"""A run's hold on a thread in Postgres, with its lock and cached state in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from agentflow.errors import LeaseLostError, StaleCheckpointError, ThreadBusyError
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.cache_types import Began, CachedBase, News
from agentflow.storage.checkpointer.limits import EncodedWrite, check_tool_results, encode_write
from agentflow.storage.checkpointer.locks import LocalLocks
from agentflow.storage.checkpointer.postgres_backend import Backend
from agentflow.storage.checkpointer.sizes import Limits
from agentflow.storage.checkpointer.storage_spans import (
    CacheResult,
    get_span,
    lock_span,
    note_cache,
    note_lock,
    put_span,
)
from agentflow.storage.checkpointer.thread_memory import Remembered, ThreadMemory, key_of
from agentflow.storage.checkpointer.types import (
    CheckpointWrite,
    Committed,
    NewThread,
    Scope,
    Snapshot,
    ToolResult,
    ToolStart,
    ToolStarts,
    only_appends,
    snapshot_after,
)

if TYPE_CHECKING:
    from agentflow.storage.checkpointer.lease import Lease


class SessionHome(Protocol):
    """What a session needs of its checkpointer."""

    locks: LocalLocks
    limits: Limits
    memory: ThreadMemory

    async def backend(self) -> Backend:
        """This event loop's resources, ready for use."""
        ...


class PgThreadSession(ThreadSession):
    """Lock, state and writes of one run on one thread."""

    def __init__(
        self, home: SessionHome, scope: Scope, thread_id: str, new_thread: NewThread, *, wait_s: float
    ) -> None:
        """Use `PgCheckpointer.session`."""
        self._home = home
        self._scope = scope
        self._thread_id = thread_id
        self._new_thread = new_thread
        self._wait_s = wait_s
        self._limits = home.limits.within(scope.limits)
        self._local_key = (scope.tenant_id, thread_id)
        self._memory_key = key_of(scope, thread_id)
        self._lease: Lease | None = None
        self._base: CachedBase | None = None
        # The fields as the last append encoded them: what callers do to `snapshot` reaches no cache.
        self._fields: str | None = None
        self._doubtful = False
        self.snapshot: Snapshot | None = None
        self.from_cache = False

    async def __aenter__(self) -> Self:
        """See `ThreadSession`.

        Redis: one round trip; Postgres: one when neither Redis nor this process has the state.
        """
        self._backend = await self._home.backend()
        remembered, began = await self._locked()
        try:
            await self._read(remembered, began)
        except BaseException:  # also when cancelled: the locks must not stay
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See `ThreadSession`. Redis: one round trip."""
        await self._leave()

    async def append(self, write: CheckpointWrite) -> Committed:
        """See `ThreadSession.append`."""
        encoded = encode_write(write, self._limits)
        with put_span(self._scope, encoded.size_bytes) as span:
            if self._lease is not None and self._lease.lost:
                note_lock(span, "lost")
            self._check_held()
            if self.from_cache:
                note_cache(span, "hit")
            try:
                return await self._appended(write, encoded)
            except StaleCheckpointError:
                if self.from_cache:
                    note_cache(span, "stale")
                raise

    async def _appended(self, write: CheckpointWrite, encoded: EncodedWrite) -> Committed:
        # Until it is acknowledged, what we and the cache hold may be wrong.
        self._doubtful = True
        placement = None if self.snapshot is None else self.snapshot.placement
        try:
            committed = await self._backend.writer.append(
                self._scope, self._thread_id, self._new_thread, write, encoded, placement
            )
        except StaleCheckpointError:
            # A thread that nobody knew to be here may have been moved: like one that a cache did not have.
            self.from_cache |= self.snapshot is None and self._is_moving()
            raise
        if write.expected_head != (0 if self.snapshot is None else self.snapshot.head):
            # It was sent again, or goes on from what this session did not read.
            await self.reload()
            return committed
        self._doubtful = False
        self.from_cache = False
        self._fields = encoded.fields
        appends = only_appends(self.snapshot, write)
        if not appends:
            self._base = None
        self.snapshot = snapshot_after(self.snapshot, write, committed, appends=appends)
        return committed

    def when_lost(self, call: Callable[[], None] | None) -> None:
        """See `ThreadSession.when_lost`. Known by the next heartbeat, a third of the lease at the latest."""
        if self._lease is not None:
            self._lease.on_lost = call
            if call is not None and self._lease.lost:
                call()

    async def stop_requested(self) -> bool:
        """See `ThreadSession.stop_requested`."""
        return await self._backend.reader.stop_requested(self._scope, self._thread_id)

    async def start_tools(self, starts: ToolStarts) -> Sequence[ToolStart]:
        """See `ThreadSession.start_tools`."""
        self._check_held()
        return await self._backend.tools.start(self._scope, self._thread_id, starts)

    async def finish_tools(self, thread_no: int, results: Sequence[ToolResult]) -> None:
        """See `ThreadSession.finish_tools`. Also without the lock: the tool did end."""
        check_tool_results(results, self._limits)
        await self._backend.tools.finish(self._scope, self._thread_id, thread_no, results)

    async def reload(self) -> Snapshot | None:
        """See `ThreadSession.reload`."""
        return await self._reloaded("stale" if self.from_cache else "miss")

    async def _reloaded(self, why: CacheResult) -> Snapshot | None:
        self._base = self._fields = None
        with get_span(self._scope) as span:
            note_cache(span, why)
            self.snapshot = await self._loaded()
        self.from_cache = self._doubtful = False
        return self.snapshot

    async def _loaded(self) -> Snapshot | None:
        return await self._backend.threads.load_anew(self._scope, self._thread_id)

    def _is_moving(self) -> bool:
        """Whether the thread may be in more than one place: no cache knows in which."""
        return len(self._backend.of_tenants.placements.look(self._scope)) > 1

    async def _locked(self) -> tuple[Remembered | None, Began | None]:
        """Take the thread's locks; what this process remembers, and what the cache said with them."""
        with lock_span(self._scope) as span:
            loop = asyncio.get_running_loop()
            give_up_at = loop.time() + self._wait_s
            # Waiters of one process queue up here, in order, instead of all of them asking Redis.
            if not await self._home.locks.acquire(self._local_key, self._wait_s):
                note_lock(span, "timeout" if self._wait_s > 0 else "busy")
                raise self._busy()
            try:
                self._lease = self._backend.lease(self._scope, self._thread_id)
                remembered = self._remembered()
                began = await self._leased(remembered, max(0.0, give_up_at - loop.time()))
                if self._lease is not None and began is None:
                    note_lock(span, "timeout" if self._wait_s > 0 else "busy")
                    raise self._busy()
            except BaseException:  # also when cancelled: the locks must not stay
                await self._leave()
                raise
            note_lock(span, "degraded" if began is not None and began.is_degraded else "acquired")
            return remembered, began

    async def _leased(self, remembered: Remembered | None, wait_s: float) -> Began | None:
        if self._lease is None:
            return None
        return await self._lease.take(wait_s, None if remembered is None else remembered.version)

    async def _read(self, remembered: Remembered | None, began: Began | None) -> None:
        if began is not None:
            # A cached state does not know its owner: who sees only their own threads asks the store.
            if began.snapshot is not None and self._scope.principal is None and not self._is_moving():
                if remembered is None or not _is_behind(began.snapshot, remembered):
                    self._start_from(began.snapshot, began.base)
                    return
            elif remembered is not None and began.is_known:
                self._base = remembered.base
        if remembered is None:
            await self._reloaded("off" if began is None or began.is_degraded else "miss")
        else:
            # It may be behind; then the first write is refused, before any node has run.
            self._start_from(remembered.snapshot(), self._base)

    def _start_from(self, snapshot: Snapshot, base: CachedBase | None) -> None:
        with get_span(self._scope) as span:
            note_cache(span, "hit")
            self.snapshot, self._base, self.from_cache = snapshot, base, True

    def _remembered(self) -> Remembered | None:
        if self._scope.principal is not None or self._is_moving():
            return None
        return self._home.memory.get(self._memory_key)

    async def _leave(self) -> None:
        try:
            base: CachedBase | None = None
            if self._lease is not None:
                base = await self._lease.end(self._news(), drop=self._doubtful)
            self._remember(base)
        finally:
            self._home.locks.release(self._local_key)

    def _remember(self, base: CachedBase | None) -> None:
        """For the next run in this process."""
        if self._doubtful:
            self._home.memory.drop(self._memory_key)
        elif self.snapshot is not None and self._fields is not None:
            self._home.memory.put(self._memory_key, self.snapshot, self._fields, base)

    def _news(self) -> News | None:
        """What the caches should learn: nothing, when this session wrote nothing."""
        if self.snapshot is None or self._fields is None:
            return None
        return News(self.snapshot, self._fields, self._base)

    def _check_held(self) -> None:
        if self._lease is not None and self._lease.lost:
            raise LeaseLostError(
                f"Another run holds thread {self._thread_id!r} now: "
                "this one was silent for longer than its lease."
            )

    def _busy(self) -> ThreadBusyError:
        return ThreadBusyError(
            f"Another run works on thread {self._thread_id!r} and did not end within {self._wait_s:g} s; "
            "try again when it is done."
        )


def _is_behind(cached: Snapshot, remembered: Remembered) -> bool:
    """Whether an earlier version of the same life is cached: a publish was lost, or a dump restored."""
    return cached.thread_no == remembered.thread_no and cached.head < remembered.head
