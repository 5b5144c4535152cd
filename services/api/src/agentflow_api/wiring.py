"""Everything the process holds open, made in one place."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import BaseCheckpointer, PgCheckpointer
from agentflow.storage.checkpointer.cache import client_from_url
from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_api.console.session.attempts import Attempts
from agentflow_api.console.session.seal import Seal
from agentflow_api.graph.running import RunningRuns
from agentflow_api.http.gatekeeper import Gatekeeper
from agentflow_api.metrics.measuring import measured
from agentflow_api.settings import Settings
from agentflow_hosting.agents.registry import AgentRegistry
from agentflow_hosting.background import BackgroundTasks
from agentflow_hosting.executor import THREAD_LEASE_S, RunExecutor
from agentflow_hosting.idempotency import IdempotencyKeys
from agentflow_hosting.principals import Principals
from agentflow_hosting.remote_tools import RemoteTools
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_hosting.run_feed import RunFeed
from agentflow_hosting.run_reader import RunReader
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.trace_collector import TraceCollector
from agentflow_hosting.trace_repository import TraceRepository
from agentflow_hosting.trace_writer import TraceWriter
from agentflow_telemetry import Metrics
from agentflow_tenancy import (
    Authenticator,
    FairShare,
    KeyRepository,
    QuotaGuard,
    QuotaStore,
    TenantRepository,
    UsageRepository,
)
from agentflow_tenancy.control_plane import AuditLog
from agentflow_tenancy.exports import ExportFolder, ExportRepository, Links, ThreadImporter
from agentflow_tenancy.external_tokens import ExternalTokens, IssuerKeys
from agentflow_tenancy.issuers import IssuerRepository
from agentflow_tenancy.jwks_fetcher import JwksFetcher
from agentflow_tenancy.key_uses import KeyUses
from agentflow_tenancy.moves import OperationRepository
from agentflow_tenancy.offboarding import OffboardingRepository, ReceiptRepository
from agentflow_tenancy.roles import RoleGuard
from agentflow_tenancy.signing_keys import SigningKeys
from agentflow_tenancy.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Wiring:
    """The process's parts."""

    settings: Settings
    role: RoleGuard
    repository: TenantRepository
    keys: KeyRepository
    audit: AuditLog
    tokens: Tokens
    signing_keys: SigningKeys
    issuers: IssuerRepository
    operations: OperationRepository
    offboardings: OffboardingRepository
    receipts: ReceiptRepository
    key_uses: KeyUses
    authenticator: Authenticator
    checkpointer: PgCheckpointer
    agents: AgentRegistry
    runs: RunningRuns
    redis: Redis | None
    quotas: QuotaGuard
    usage: UsageRepository
    turns: FairShare
    run_repository: RunRepository
    feed: RunFeed
    reader: RunReader
    executor: RunExecutor
    background: BackgroundTasks
    idempotency: IdempotencyKeys
    traces: TraceRepository
    trace_writer: TraceWriter | None
    gates: Gatekeeper
    remote_tools: RemoteTools
    retention: RetentionRepository
    exports: ExportRepository
    importer: ThreadImporter
    export_folder: ExportFolder | None
    links: Links
    metrics: Metrics | None
    seal: Seal
    attempts: Attempts
    engine: AsyncEngine

    @property
    def store(self) -> BaseCheckpointer:
        """Where threads live."""
        return self.checkpointer

    async def stop(self) -> None:
        """Let no more runs begin, and those at work reach their next node boundary."""
        await asyncio.gather(self.runs.stop(), self.executor.stop())


@asynccontextmanager
async def opened(
    settings: Settings, collector: TraceCollector | None = None, metrics: Metrics | None = None
) -> AsyncGenerator[Wiring]:
    """Open everything; at the end let runs reach their next boundary, then close it.

    What a collector learns of runs is stored; what there is to measure is told to `metrics`.

    Nothing is asked of Postgres or Redis yet: a service that starts before them recovers by itself.
    """
    engine = engine_from_url(
        settings.database_url,
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size // 2,
        timeout_s=settings.store_timeout_s,
    )
    checkpointer = PgCheckpointer.from_engine(
        engine, redis_url=settings.redis_url, lock_wait_s=settings.lock_wait_s, lease_s=THREAD_LEASE_S
    )
    repository = TenantRepository(engine)
    authenticator = Authenticator(repository, settings.key_pepper)
    signing_keys = SigningKeys(engine, settings.key_pepper)
    issuers = IssuerRepository(engine)
    fetcher = JwksFetcher(allow_http=settings.allow_http_issuers)
    external = ExternalTokens(issuers, IssuerKeys(fetcher))
    keys = KeyRepository(engine)
    key_uses = KeyUses(keys)
    agents = AgentRegistry(settings.agents, checkpointer)
    redis = None if settings.redis_url is None else client_from_url(settings.redis_url, timeout_s=0.5)
    usage = UsageRepository(engine)
    counted_in = settings.quota_redis_url
    counts = None if counted_in is None else client_from_url(counted_in, timeout_s=0.5)
    quotas = QuotaGuard(
        None if counts is None else QuotaStore(counts),
        usage,
        processes=settings.replicas * settings.workers,
        grace_s=settings.quota_grace_s,
    )
    run_repository = RunRepository(engine)
    feed = RunFeed(redis)
    remote_tools = RemoteTools(engine)
    executor = RunExecutor(
        run_repository, agents, Principals(repository), quotas, feed, remote_tools=remote_tools
    )
    background = BackgroundTasks()
    tokens = Tokens(signing_keys, authenticator, external)
    gates = Gatekeeper(tokens.recheck)
    traces = TraceRepository(engine)
    trace_writer = None if collector is None else TraceWriter(collector, traces)
    if trace_writer is not None:
        trace_writer.start()
    modes = {"cache": lambda: checkpointer.degraded, "quotas": lambda: quotas.degraded}
    measuring = await measured(metrics, engine, modes, collector)
    try:
        yield Wiring(
            settings=settings,
            role=RoleGuard(engine, checkpointer.forget_database),
            repository=repository,
            keys=keys,
            key_uses=key_uses,
            audit=AuditLog(engine),
            tokens=tokens,
            signing_keys=signing_keys,
            issuers=issuers,
            operations=OperationRepository(engine),
            offboardings=OffboardingRepository(engine),
            receipts=ReceiptRepository(engine),
            authenticator=authenticator,
            checkpointer=checkpointer,
            agents=agents,
            runs=RunningRuns(),
            redis=redis,
            quotas=quotas,
            usage=usage,
            turns=FairShare(at_once=settings.requests_at_once),
            run_repository=run_repository,
            feed=feed,
            reader=RunReader(run_repository, feed),
            executor=executor,
            background=background,
            idempotency=IdempotencyKeys(engine),
            traces=traces,
            trace_writer=trace_writer,
            gates=gates,
            remote_tools=remote_tools,
            retention=RetentionRepository(engine),
            exports=ExportRepository(engine),
            importer=ThreadImporter(engine),
            export_folder=None if settings.exports is None else ExportFolder(settings.exports),
            links=Links(settings.key_pepper),
            metrics=metrics,
            seal=Seal(settings.key_pepper),
            attempts=Attempts(),
            engine=engine,
        )
    finally:
        await measuring.aclose()
        await executor.stop()
        await background.aclose()
        await gates.aclose()
        await feed.aclose()
        if redis is not None:
            await redis.aclose()
        await agents.adrain()
        if trace_writer is not None:
            await trace_writer.aclose()
        await key_uses.aclose()
        await quotas.aclose()
        if counts is not None:
            await counts.aclose()
        await checkpointer.aclose()
        await engine.dispose()
