"""What a checkpointer holds in one event loop: connections to Postgres and to Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.cache_types import CacheUnavailableError
from agentflow.storage.checkpointer.driver_statements import Statements
from agentflow.storage.checkpointer.driver_tenants import TenantStatements
from agentflow.storage.checkpointer.lease import Lease
from agentflow.storage.checkpointer.postgres_copies import PostgresCopies
from agentflow.storage.checkpointer.postgres_reader import PostgresReader
from agentflow.storage.checkpointer.postgres_search import PostgresSearch
from agentflow.storage.checkpointer.postgres_tools import PostgresTools
from agentflow.storage.checkpointer.postgres_upkeep import Upkeep
from agentflow.storage.checkpointer.postgres_writer import PostgresWriter
from agentflow.storage.checkpointer.schema.setup import ensure_schema
from agentflow.storage.checkpointer.thread_memory import ThreadMemory
from agentflow.storage.checkpointer.thread_reader import ThreadReader
from agentflow.storage.checkpointer.types import Scope

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from agentflow.storage.checkpointer.cache import ThreadCache


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take or last, as `PgCheckpointer` explains."""

    retry_s: float
    lock_wait_s: float
    lease_s: float
    redis_timeout_s: float
    cache_ttl: timedelta
    thread_ttl: timedelta | None

    def cache_s(self) -> float:
        """A cached state never outlives its thread."""
        shortest = self.cache_ttl if self.thread_ttl is None else min(self.cache_ttl, self.thread_ttl)
        return shortest.total_seconds()


class Backend:
    """Engine, statements and cache of one event loop."""

    def __init__(
        self,
        engine: AsyncEngine,
        make_redis: Callable[[], Redis] | None,
        timing: Timing,
        memory: ThreadMemory,
        *,
        owns_engine: bool,
    ) -> None:
        """Nothing is opened yet."""
        self._engine = engine
        self._owns_engine = owns_engine
        self._make_redis = make_redis
        self._timing = timing
        self._preparing = asyncio.Lock()
        self._statements = Statements(engine, retry_s=timing.retry_s)
        self._cache: ThreadCache | None = None
        self.of_tenants = TenantStatements(self._statements)
        self.reader = PostgresReader(self.of_tenants)
        self.threads = ThreadReader(self.of_tenants, self.reader, memory)
        self.writer = PostgresWriter(self._statements, self.of_tenants, thread_ttl=timing.thread_ttl)
        self.upkeep = Upkeep(self._statements, self.of_tenants)
        self.tools = PostgresTools(self.of_tenants)
        self.search = PostgresSearch(self.of_tenants)
        self.copies = PostgresCopies(self._statements, self.of_tenants)
        self.ready = False

    @property
    def statements(self) -> Statements:
        """The named statements, on this loop's engine."""
        return self._statements

    @property
    def degraded(self) -> bool:
        """Whether Redis did not answer when it was last asked."""
        return self._cache is not None and self._cache.degraded

    async def prepare(self) -> None:
        """Make the schema if it is missing, and learn the database's id, unless it is `ready`."""
        async with self._preparing:
            if self.ready:
                return
            instance_id = await ensure_schema(self._engine, self._statements)
            shown = await self._statements.fetch("is_shown_all")
            self.of_tenants.is_shown_all = shown[0]["is_shown_all"]
            if self._cache is not None:
                self._cache.serve(instance_id)
            elif self._make_redis is not None:
                self._cache = self._new_cache(self._make_redis(), instance_id)
            self.ready = True

    def lease(self, scope: Scope, thread_id: str) -> Lease | None:
        """A lock for the thread, not yet taken; None where there is no Redis."""
        if self._cache is None:
            return None
        return Lease(self._cache, self._cache.keys(scope, thread_id), lease_s=self._timing.lease_s)

    async def bury(self, scope: Scope, thread_id: str, thread_no: int) -> None:
        """Take a deleted thread out of the cache."""
        if self._cache is None:
            return
        try:
            await self._cache.bury(self._cache.keys(scope, thread_id), thread_no)
        except CacheUnavailableError:
            return  # it is never served: a run that starts from it is refused by its first write

    async def close(self) -> None:
        """Give every connection back."""
        try:
            if self._cache is not None:
                await self._cache.aclose()
        finally:
            await self.writer.close()
            await self._statements.close()
            if self._owns_engine:
                await self._engine.dispose()

    def _new_cache(self, redis: Redis, instance_id: UUID) -> ThreadCache:
        from agentflow.storage.checkpointer.cache import ThreadCache

        return ThreadCache(redis, instance_id, lease_s=self._timing.lease_s, ttl_s=self._timing.cache_s())
