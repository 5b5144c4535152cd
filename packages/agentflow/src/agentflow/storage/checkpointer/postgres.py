"""Threads durable in Postgres, fast through Redis."""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import ConfigurationError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.filters import (
    CopiedThread,
    ThreadChange,
    ThreadFilter,
    ThreadPlace,
    ThreadSort,
    check_change,
    check_deletion,
    check_filter,
    check_search,
)
from agentflow.storage.checkpointer.limits import (
    check_keep_last,
    check_messages_page,
    check_new_thread,
    check_page,
    check_thread_id,
    encode_write,
)
from agentflow.storage.checkpointer.locks import LocalLocks
from agentflow.storage.checkpointer.pool import engine_from_url, recreated
from agentflow.storage.checkpointer.postgres_backend import Backend, Timing
from agentflow.storage.checkpointer.postgres_head_session import PgHeadSession
from agentflow.storage.checkpointer.postgres_rows import no_thread
from agentflow.storage.checkpointer.postgres_session import PgThreadSession
from agentflow.storage.checkpointer.sizes import Limits
from agentflow.storage.checkpointer.storage_spans import get_span, list_span, put_span
from agentflow.storage.checkpointer.thread_memory import ThreadMemory, key_of
from agentflow.storage.checkpointer.types import (
    BEGINNING,
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
)
from agentflow.utils.per_loop import PerLoop

if TYPE_CHECKING:
    from redis.asyncio import Redis


class PgCheckpointer(BaseCheckpointer):
    """Keeps threads in Postgres, with their locks and latest states in Redis.

    Postgres is the source of truth: a checkpoint counts when it is committed there. Redis may be
    flushed or vanish at any time; runs are then slower, never wrong.

    The first use creates the tables if they are missing. One instance may serve many graphs, tasks,
    threads and event loops at once.
    """

    def __init__(  # noqa: PLR0913 - one keyword a setting
        self,
        db_url: str,
        redis_url: str | None,
        *,
        pool_size: int = 20,
        max_overflow: int = 10,
        timeout_s: float = 30.0,
        retry_s: float = 5.0,
        lock_wait_s: float = 30.0,
        lease_s: float = 15.0,
        redis_timeout_s: float = 0.5,
        cache_ttl: timedelta = timedelta(hours=1),
        thread_ttl: timedelta | None = None,
        cache_bytes: int = 64 * 2**20,
        limits: Limits | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            db_url: `postgresql+asyncpg://user:password@host:5432/database`.
            redis_url: `redis://host:6379/0`. Required; None is the choice to run on Postgres alone,
                where runs of one thread in several processes are kept apart by the head only.
            pool_size: Connections to Postgres kept open, per event loop that uses this.
            max_overflow: Further ones under load.
            timeout_s: Longest time for a connection from the pool, and for one statement.
            retry_s: How long a call goes on trying while Postgres is away.
            lock_wait_s: How long a run waits for its thread unless its config says otherwise.
            lease_s: A thread's lock frees itself so long after its holder was last heard of.
            redis_timeout_s: Longest time for one call to Redis.
            cache_ttl: How long a thread's state stays in Redis after its last turn.
            thread_ttl: Threads expire so long after their last checkpoint; None keeps them.
                See `delete_expired`.
            cache_bytes: How much of the threads used last this process keeps in memory; 0 for none. Never
                believed without asking for the version.
            limits: Sizes above which a checkpoint is refused.

        Raises:
            ConfigurationError: A URL is not one.
            ImportError: The `redis` extra is missing.
        """
        engine = engine_from_url(db_url, pool_size=pool_size, max_overflow=max_overflow, timeout_s=timeout_s)
        timing = Timing(
            retry_s=retry_s,
            lock_wait_s=lock_wait_s,
            lease_s=lease_s,
            redis_timeout_s=redis_timeout_s,
            cache_ttl=cache_ttl,
            thread_ttl=thread_ttl,
        )
        self._configure(engine, redis_url, timing, limits, cache_bytes, owns_engine=True)

    @classmethod
    def from_engine(  # noqa: PLR0913 - as above
        cls,
        engine: AsyncEngine,
        redis_url: str | None,
        *,
        retry_s: float = 5.0,
        lock_wait_s: float = 30.0,
        lease_s: float = 15.0,
        redis_timeout_s: float = 0.5,
        cache_ttl: timedelta = timedelta(hours=1),
        thread_ttl: timedelta | None = None,
        cache_bytes: int = 64 * 2**20,
        limits: Limits | None = None,
    ) -> Self:
        """Share the pool of an engine the program has already; it stays the program's to dispose.

        The engine serves the event loop that uses this first. Another loop gets an engine of the same
        settings with a pool of its own, since connections cannot cross loops.

        Raises:
            ConfigurationError: The engine is not for Postgres with asyncpg.
            ImportError: The `redis` extra is missing.
        """
        if engine.dialect.driver != "asyncpg":
            raise ConfigurationError(
                'from_engine needs an engine of create_async_engine("postgresql+asyncpg://...").'
            )
        timing = Timing(
            retry_s=retry_s,
            lock_wait_s=lock_wait_s,
            lease_s=lease_s,
            redis_timeout_s=redis_timeout_s,
            cache_ttl=cache_ttl,
            thread_ttl=thread_ttl,
        )
        self = cls.__new__(cls)
        self._configure(engine, redis_url, timing, limits, cache_bytes, owns_engine=False)
        return self

    def _configure(
        self,
        engine: AsyncEngine,
        redis_url: str | None,
        timing: Timing,
        limits: Limits | None,
        cache_bytes: int,
        *,
        owns_engine: bool,
    ) -> None:
        self.limits = limits or Limits()
        self.locks = LocalLocks()
        self.memory = ThreadMemory(cache_bytes)
        self._template = engine
        self._owns_engine = owns_engine
        # The loop that an engine passed in belongs to: the first one that uses it.
        self._its_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._timing = timing
        self._make_redis = _redis_maker(redis_url, timing.redis_timeout_s)
        self._backends: PerLoop[Backend] = PerLoop(self._make_backend, Backend.close)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._template.url.host}/{self._template.url.database})"

    @property
    def degraded(self) -> bool:
        """Whether Redis is configured and did not answer when it was last asked."""
        return any(backend.degraded for backend in self._backends.resources())

    async def asetup(self) -> None:
        """See `BaseCheckpointer.asetup`. Costs nothing once ready.

        Raises:
            StoreUnavailableError: Postgres does not answer.
            ConfigurationError: It refuses the login or has no such database.
            SchemaVersionError: A newer version of this library has been here.
        """
        await self.backend()

    def forget_database(self) -> None:
        """Believe nothing that was learned of the database: it was restored, say, to a time before.

        The next call asks for its id anew, which is part of every key in Redis.
        """
        self.memory.clear()
        for backend in self._backends.resources():
            backend.ready = False

    async def aclose(self) -> None:
        """See `BaseCheckpointer.aclose`. An engine that was passed in stays open."""
        await self._backends.close()

    def session(
        self,
        scope: Scope,
        thread_id: str,
        *,
        new_thread: NewThread | None = None,
        wait_s: float | None = None,
        without_messages: bool = False,
    ) -> PgThreadSession:
        """See `BaseCheckpointer.session`."""
        check_thread_id(thread_id)
        attributes = new_thread or NewThread()
        check_new_thread(attributes)
        wait_s = self._timing.lock_wait_s if wait_s is None else wait_s
        kind = PgHeadSession if without_messages else PgThreadSession
        return kind(self, scope, thread_id, attributes, wait_s=wait_s)

    async def append(
        self,
        scope: Scope,
        thread_id: str,
        write: CheckpointWrite,
        *,
        new_thread: NewThread | None = None,
    ) -> Committed:
        """Make a checkpoint durable without a session: no lock is taken, nothing is read or cached.

        For writers that know the thread's head already; a session of the same thread finds out by its own
        next write.

        Raises:
            What `ThreadSession.append` raises, but for LeaseLostError.

        One round trip; locks the thread's row until commit.
        """
        check_thread_id(thread_id)
        attributes = new_thread or NewThread()
        check_new_thread(attributes)
        encoded = encode_write(write, self.limits.within(scope.limits))
        with put_span(scope, encoded.size_bytes):
            return await (await self.backend()).writer.append(scope, thread_id, attributes, write, encoded)

    async def load(
        self, scope: Scope, thread_id: str, *, last_messages: int | None = None
    ) -> Snapshot | None:
        """See `BaseCheckpointer.load`.

        One round trip to Postgres, whose answer was true after the call began: of a thread in this process's
        memory it says the version only. Two when that is not the latest.
        """
        check_thread_id(thread_id)
        backend = await self.backend()
        with get_span(scope) as span:
            if last_messages is None:
                return await backend.threads.load(scope, thread_id, span)
            loaded = await backend.reader.load(scope, thread_id, max(0, last_messages))
            return None if loaded is None else loaded.snapshot

    async def load_at(self, scope: Scope, thread_id: str, seq: int) -> Snapshot:
        """See `BaseCheckpointer.load_at`. One round trip; folds at most 32 deltas."""
        check_thread_id(thread_id)
        with get_span(scope):
            return await (await self.backend()).reader.load_at(scope, thread_id, seq)

    async def history(
        self, scope: Scope, thread_id: str, *, before: int | None = None, limit: int = 100
    ) -> Sequence[CheckpointInfo]:
        """See `BaseCheckpointer.history`. One round trip."""
        check_thread_id(thread_id)
        check_page(0, limit)
        with list_span(scope):
            return await (await self.backend()).reader.history(scope, thread_id, before, limit)

    async def tool_calls(self, scope: Scope, thread_id: str) -> Sequence[ToolCallInfo]:
        """See `BaseCheckpointer.tool_calls`. One round trip."""
        check_thread_id(thread_id)
        return await (await self.backend()).tools.calls(scope, thread_id)

    async def get_thread(self, scope: Scope, thread_id: str) -> ThreadInfo | None:
        """See `BaseCheckpointer.get_thread`. One round trip."""
        check_thread_id(thread_id)
        with get_span(scope):
            return await (await self.backend()).reader.get_thread(scope, thread_id)

    async def list_threads(
        self,
        scope: Scope,
        *,
        search: str | None = None,
        offset: int = 0,
        limit: int = 100,
        id_prefix: str = "",
    ) -> Sequence[ThreadInfo]:
        """See `BaseCheckpointer.list_threads`. One round trip."""
        check_page(offset, limit)
        with list_span(scope):
            return await (await self.backend()).reader.list_threads(scope, search, offset, limit, id_prefix)

    async def search_threads(
        self,
        scope: Scope,
        wanted: ThreadFilter,
        *,
        sort: ThreadSort = "-updated_at",
        after: ThreadPlace | None = None,
        limit: int = 100,
    ) -> Sequence[ThreadInfo]:
        """See `BaseCheckpointer.search_threads`.

        One round trip, one more for tenants that may have moved. Looks at every thread of the tenant; with a
        text also at the messages of those that meet the other conditions, until the page is full.
        """
        check_search(wanted, sort, after, limit)
        with list_span(scope):
            return await (await self.backend()).search.search(scope, wanted, sort, after, limit)

    async def count_threads(self, scope: Scope, wanted: ThreadFilter) -> int:
        """See `BaseCheckpointer.count_threads`. Costs as `search_threads` without end."""
        check_filter(wanted)
        return await (await self.backend()).search.count(scope, wanted)

    async def delete_threads(self, scope: Scope, wanted: ThreadFilter, *, limit: int = 100) -> Sequence[str]:
        """See `BaseCheckpointer.delete_threads`.

        One transaction of four round trips, then one to Redis; the threads' rows stay locked until it ends.
        """
        check_deletion(wanted, limit)
        backend = await self.backend()
        gone = await backend.search.delete(scope, wanted, limit)
        for thread_id, _ in gone:
            self.memory.drop(key_of(scope, thread_id))
        await asyncio.gather(*(backend.bury(scope, thread_id, number) for thread_id, number in gone))
        return [thread_id for thread_id, _ in gone]

    async def update_thread(self, scope: Scope, thread_id: str, change: ThreadChange) -> ThreadInfo:
        """See `BaseCheckpointer.update_thread`. One transaction of four round trips."""
        check_thread_id(thread_id)
        check_change(change)
        return await (await self.backend()).search.update(scope, thread_id, change)

    async def copy_thread(self, scope: Scope, thread_id: str, to_thread: str) -> CopiedThread:
        """See `BaseCheckpointer.copy_thread`.

        One transaction of four round trips: the server copies the rows, none of them comes here.
        """
        check_thread_id(thread_id)
        check_thread_id(to_thread)
        return await (await self.backend()).copies.copy(scope, thread_id, to_thread)

    async def list_messages(
        self,
        scope: Scope,
        thread_id: str,
        *,
        search: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> Sequence[StoredMessage]:
        """See `BaseCheckpointer.list_messages`.

        One round trip, shared by those who ask at the same moment about threads in this process's memory.
        """
        check_thread_id(thread_id)
        check_page(offset, limit)
        backend = await self.backend()
        with get_span(scope) as span:
            if search is None:
                context = await backend.threads.small_context(scope, thread_id, span)
                if context is not None:
                    is_all = offset == 0 and (limit is None or len(context) <= limit)
                    return context if is_all else context[offset : None if limit is None else offset + limit]
            return await backend.reader.list_messages(scope, thread_id, search, offset, limit)

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
        """See `BaseCheckpointer.read_messages`. One round trip; passes over what is skipped."""
        check_thread_id(thread_id)
        check_messages_page(skip, limit, max_bytes)
        reader = (await self.backend()).reader
        with get_span(scope):
            return await reader.read_messages(
                scope, thread_id, after, skip=skip, limit=limit, max_bytes=max_bytes, outline=outline
            )

    async def delete_thread(self, scope: Scope, thread_id: str) -> bool:
        """See `BaseCheckpointer.delete_thread`. One round trip to Postgres, then one to Redis."""
        check_thread_id(thread_id)
        backend = await self.backend()
        thread_no = await backend.reader.delete_thread(scope, thread_id)
        self.memory.drop(key_of(scope, thread_id))
        if thread_no is not None:
            await backend.bury(scope, thread_id, thread_no)
        return thread_no is not None

    async def request_stop(self, scope: Scope, thread_id: str) -> bool:
        """See `BaseCheckpointer.request_stop`. One round trip; the run learns of it with its next write."""
        check_thread_id(thread_id)
        return await (await self.backend()).reader.request_stop(scope, thread_id)

    async def delete_expired(self, *, batch_size: int = 1000, older_than: timedelta | None = None) -> int:
        """See `BaseCheckpointer.delete_expired`. One round trip a batch, on the database's clock."""
        upkeep = (await self.backend()).upkeep
        deleted = 0
        while batch := await upkeep.delete_expired(batch_size, older_than):
            deleted += batch
        return deleted

    async def prune_thread(self, scope: Scope, thread_id: str, *, keep_last: int) -> int:
        """See `BaseCheckpointer.prune_thread`. One transaction of some eight statements."""
        check_thread_id(thread_id)
        check_keep_last(keep_last)
        pruned = await (await self.backend()).upkeep.prune(scope, thread_id, keep_last)
        if pruned is None:
            raise no_thread(thread_id)
        return pruned

    async def prune(
        self, *, keep_last: int, idle_for: timedelta = timedelta(minutes=10), batch_size: int = 100
    ) -> int:
        """See `BaseCheckpointer.prune`. One transaction a thread; writers wait for that of theirs."""
        check_keep_last(keep_last)
        return await (await self.backend()).upkeep.prune_long(batch_size, idle_for, keep_last)

    async def pack_idle(self, *, idle_for: timedelta = timedelta(minutes=10), batch_size: int = 100) -> int:
        """See `BaseCheckpointer.pack_idle`. One transaction a thread; one being written is left for later."""
        return await (await self.backend()).upkeep.pack_idle(batch_size, idle_for)

    async def backend(self) -> Backend:
        """This event loop's resources, ready for use."""
        backend = await self._backends.get()
        if not backend.ready:
            await backend.prepare()
        return backend

    def _make_backend(self) -> Backend:
        loop = asyncio.get_running_loop()
        if not self._owns_engine and self._its_loop is None:
            self._its_loop = weakref.ref(loop)
        if self._its_loop is not None and self._its_loop() is loop:
            return Backend(self._template, self._make_redis, self._timing, self.memory, owns_engine=False)
        return Backend(
            recreated(self._template), self._make_redis, self._timing, self.memory, owns_engine=True
        )


def _redis_maker(redis_url: str | None, timeout_s: float) -> Callable[[], Redis] | None:
    """What makes a client for an event loop; None to run without Redis."""
    if redis_url is None:
        return None
    try:
        from agentflow.storage.checkpointer.cache import client_from_url
    except ModuleNotFoundError as error:
        raise ImportError(
            f"A redis_url needs the module {error.name!r}: "
            'pip install "agentflow[postgres,redis]" brings it, redis_url=None runs without.'
        ) from error
    make = functools.partial(client_from_url, redis_url, timeout_s=timeout_s)
    make()  # a malformed URL is refused here and not by the first run
    return make
