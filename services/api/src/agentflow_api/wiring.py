"""Everything the process holds open, made in one place."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from agentflow.storage.checkpointer import BaseCheckpointer, PgCheckpointer
from agentflow.storage.checkpointer.cache import client_from_url
from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_api.agents.registry import AgentRegistry
from agentflow_api.graph.running import RunningRuns
from agentflow_api.settings import Settings
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
from agentflow_tenancy.external_tokens import ExternalTokens, IssuerKeys
from agentflow_tenancy.issuers import IssuerRepository
from agentflow_tenancy.jwks_fetcher import JwksFetcher
from agentflow_tenancy.key_uses import KeyUses
from agentflow_tenancy.moves import OperationRepository
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
    key_uses: KeyUses
    authenticator: Authenticator
    checkpointer: PgCheckpointer
    agents: AgentRegistry
    runs: RunningRuns
    redis: Redis | None
    quotas: QuotaGuard
    usage: UsageRepository
    turns: FairShare

    @property
    def store(self) -> BaseCheckpointer:
        """Where threads live."""
        return self.checkpointer


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Wiring]:
    """Open everything; at the end let runs reach their next boundary, then close it.

    Nothing is asked of Postgres or Redis yet: a service that starts before them recovers by itself.
    """
    engine = engine_from_url(
        settings.database_url,
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size // 2,
        timeout_s=settings.store_timeout_s,
    )
    checkpointer = PgCheckpointer.from_engine(
        engine, redis_url=settings.redis_url, lock_wait_s=settings.lock_wait_s
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
    try:
        yield Wiring(
            settings=settings,
            role=RoleGuard(engine),
            repository=repository,
            keys=keys,
            key_uses=key_uses,
            audit=AuditLog(engine),
            tokens=Tokens(signing_keys, authenticator, external),
            signing_keys=signing_keys,
            issuers=issuers,
            operations=OperationRepository(engine),
            authenticator=authenticator,
            checkpointer=checkpointer,
            agents=agents,
            runs=RunningRuns(),
            redis=redis,
            quotas=quotas,
            usage=usage,
            turns=FairShare(at_once=settings.requests_at_once),
        )
    finally:
        if redis is not None:
            await redis.aclose()
        await agents.adrain()
        await key_uses.aclose()
        await quotas.aclose()
        if counts is not None:
            await counts.aclose()
        await checkpointer.aclose()
        await engine.dispose()
