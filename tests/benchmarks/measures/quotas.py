"""Authentication and quotas beside a bare GET; all quotas in one script beside calls of a library."""

import gc
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool, Redis
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.storage.checkpointer.cache import client_from_url
from agentflow_tenancy import (
    Authenticator,
    Limits,
    Principal,
    QuotaGuard,
    QuotaStore,
    Tenant,
    TenantRepository,
    new_api_key,
)
from agentflow_tenancy.keys import ApiKey
from agentflow_tenancy.quotas import Used
from agentflow_tenancy.tenants import ALL_SCOPES, KeyRecord
from tests.benchmarks.bench import Bench

ROOMY = Limits(
    requests_per_minute=10**9,
    burst=10**9,
    concurrent_runs=10**6,
    threads=10**9,
    stored_bytes=10**12,
    tokens_per_day=10**12,
    checkpoints_per_day=10**12,
)
QUOTAS = 6
_IN_A_TURN = 20
PEPPER = b"p" * 32

Call = Callable[[], Awaitable[float]]


class OneKey(TenantRepository):
    """A control plane with one key in it: what is measured asks it once a second."""

    def __init__(self, key: ApiKey) -> None:
        super().__init__(create_async_engine("postgresql+asyncpg://nowhere"))
        tenant = Tenant(uuid.uuid4(), "bench", "active", 1, 1, None, "memory", limits=ROOMY)
        self._principal = Principal(tenant, key.key_id, frozenset(ALL_SCOPES))
        self._digest = key.digest(PEPPER)

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """See `TenantRepository`."""
        return KeyRecord(self._principal, self._digest, revoked=False, expired=False)


class NothingUsed:
    """A tenant that begins."""

    async def used(self, tenant_id: uuid.UUID) -> Used:
        """See `Truth`."""
        return Used(0, 0, 0, 0, 0)


async def measure_quotas(bench: Bench) -> None:
    """One caller, each kind of call in turn, a few at a time: medians of a round."""
    times: dict[str, list[float]] = {}
    async with _calls(bench.redis_url) as calls:
        await _medians_s(calls, bench.sizes.seconds)
        for _ in range(bench.sizes.rounds):
            medians = await _medians_s(calls, bench.sizes.seconds * len(calls))
            for name, median_s in medians.items():
                times.setdefault(name, []).append(median_s * 1e6)
    report = bench.report
    report.add("quotas.get", "redis-py GET, p50", "us", times["get"])
    report.add("quotas.request", "authentication and all quotas, warm, p50", "us", times["request"])
    report.add_ratio("quotas.request/get", "  to redis-py GET", times["request"], times["get"])
    report.add("quotas.script", f"one script for {QUOTAS} quotas, p50", "us", times["script"])
    report.add("quotas.library", f"  {QUOTAS} calls of a rate-limit library, p50", "us", times["library"])
    report.add_ratio("quotas.library/script", "  library / script", times["library"], times["script"])


async def _medians_s(calls: Mapping[str, Call], seconds: float) -> dict[str, float]:
    """By turns so short that whatever else the machine does falls on all of them."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    until = time.perf_counter() + seconds
    while True:
        for name, call in calls.items():
            taken[name] += [await call() for _ in range(_IN_A_TURN)]
        if time.perf_counter() >= until:
            return {name: sorted(of)[len(of) // 2] for name, of in taken.items()}


@asynccontextmanager
async def _calls(redis_url: str) -> AsyncIterator[dict[str, Call]]:
    redis = client_from_url(redis_url, timeout_s=5)
    key = new_api_key()
    authenticator = Authenticator(OneKey(key), PEPPER)
    guard = QuotaGuard(QuotaStore(redis), NothingUsed())
    # Of a pool that is closed here: the library closes none.
    pool = ConnectionPool.from_url(redis_url)
    storage = RedisStorage(
        f"async+{redis_url}",
        implementation="redispy",
        connection_pool=pool,  # type: ignore[arg-type]  # as its documentation has it
    )
    library = SlidingWindowCounterRateLimiter(storage)
    principal = await authenticator.authenticate(key.text)
    await redis.set("bench:get", b"x" * 100, ex=600)

    async def request() -> float:
        start = time.perf_counter()
        who = await authenticator.authenticate(key.text)
        async with guard.run(who):
            return time.perf_counter() - start

    async def script() -> float:
        start = time.perf_counter()
        async with guard.run(principal):
            return time.perf_counter() - start

    try:
        yield {
            "get": _get(redis),
            "request": request,
            "script": script,
            "library": _library(library),
        }
    finally:
        await guard.aclose()
        await redis.aclose()
        await pool.disconnect()


def _get(redis: Redis) -> Call:
    async def call() -> float:
        start = time.perf_counter()
        await redis.get("bench:get")
        return time.perf_counter() - start

    return call


def _library(library: SlidingWindowCounterRateLimiter) -> Call:
    roomy = RateLimitItemPerMinute(10**9)
    names = [(f"tenant-{uuid.uuid4().hex}", f"quota-{number}") for number in range(QUOTAS)]

    async def call() -> float:
        start = time.perf_counter()
        for name in names:
            assert await library.hit(roomy, *name)
        return time.perf_counter() - start

    return call
