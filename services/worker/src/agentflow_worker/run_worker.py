"""Carries out runs that wait, on the agents of this deployment."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.cache import client_from_url
from agentflow.storage.checkpointer.pool import connections_of, engine_from_url, watch_pool
from agentflow_hosting.agents.registry import AgentRegistry
from agentflow_hosting.executor import THREAD_LEASE_S, RunExecutor
from agentflow_hosting.principals import Principals
from agentflow_hosting.remote_tools import RemoteTools
from agentflow_hosting.run_feed import RunFeed
from agentflow_hosting.run_queue import RunQueue, Work
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.tickets import rest
from agentflow_hosting.trace_collector import TraceCollector
from agentflow_hosting.trace_repository import TraceRepository
from agentflow_hosting.trace_writer import TraceWriter
from agentflow_telemetry import DegradedGauge, Metrics, PoolMetrics
from agentflow_tenancy import QuotaGuard, QuotaStore, TenantRepository, UsageRepository
from agentflow_tenancy.roles import RoleGuard
from agentflow_worker.run_settings import RunSettings

logger = logging.getLogger("agentflow.worker")

_ASK_AGAIN_S = 1.0


class RunWorker:
    """Serves the queue until it is told to stop; then runs at work are put back."""

    def __init__(self, queue: RunQueue, work: Work, role: RoleGuard, *, at_once: int) -> None:
        """Nothing is taken yet.

        Args:
            queue: Of a login that sees every tenant.
            work: Carries out runs, by a login that sees the tenant at hand.
            role: Knows whether that login is such a one.
            at_once: Most runs at work.
        """
        self._queue = queue
        self._work = work
        self._role = role
        self._at_once = at_once

    async def run(self, stop: asyncio.Event) -> None:
        """Carry out runs until `stop` is set.

        Raises:
            UnsafeRoleError: The agents' login is not bound by row level security.
        """
        while not stop.is_set():
            try:
                await self._role.require()
            except StorageError as error:
                logger.warning("No runs yet: %s", error)
                await rest(stop, _ASK_AGAIN_S)
            else:
                await self._queue.serve(self._work, stop, at_once=self._at_once)


@asynccontextmanager
async def opened_run_worker(
    settings: RunSettings,
    operations: AsyncEngine,
    redis_url: str | None,
    collector: TraceCollector | None = None,
    metrics: Metrics | None = None,
) -> AsyncGenerator[RunWorker]:
    """Open what carrying out runs takes, and close it at the end. Nothing is asked of any server yet.

    Args:
        settings: See there.
        operations: Of the login that sees every tenant.
        redis_url: Holds locks and states; None runs on Postgres alone.
        collector: Learns what runs do; that is stored.
        metrics: Learns what there is to measure.
    """
    async with AsyncExitStack() as stack:
        engine = engine_from_url(
            settings.database_url, pool_size=settings.pool_size, max_overflow=0, timeout_s=10
        )
        stack.push_async_callback(engine.dispose)
        if collector is not None:
            writer = TraceWriter(collector, TraceRepository(engine))
            writer.start()
            stack.push_async_callback(writer.aclose)
        checkpointer = PgCheckpointer.from_engine(engine, redis_url=redis_url, lease_s=THREAD_LEASE_S)
        stack.push_async_callback(checkpointer.aclose)
        role = RoleGuard(engine, checkpointer.forget_database)
        counts = _client(stack, settings.quota_redis_url)
        quotas = QuotaGuard(
            None if counts is None else QuotaStore(counts),
            UsageRepository(engine),
            processes=settings.processes,
            grace_s=settings.quota_grace_s,
        )
        stack.push_async_callback(quotas.aclose)
        if metrics is not None:
            modes = {"cache": lambda: checkpointer.degraded, "quotas": lambda: quotas.degraded}
            stack.callback(DegradedGauge(modes, metrics.registry).close)
            watch_pool(engine, PoolMetrics(lambda: connections_of(engine), metrics.registry).waited)
        feed = RunFeed(_client(stack, redis_url))
        stack.push_async_callback(feed.aclose)
        executor = RunExecutor(
            RunRepository(engine),
            AgentRegistry(settings.agents, checkpointer),
            Principals(TenantRepository(engine)),
            quotas,
            feed,
            remote_tools=RemoteTools(engine),
        )
        queue = RunQueue(operations, RunRepository(operations))
        yield RunWorker(queue, executor, role, at_once=settings.at_once)


def _client(stack: AsyncExitStack, url: str | None) -> Redis | None:
    if url is None:
        return None
    client = client_from_url(url, timeout_s=0.5)
    stack.push_async_callback(client.aclose)
    return client
