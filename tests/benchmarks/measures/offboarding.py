"""Offboarding: a partition of its own with ten times the rows; rows of the pool while neighbours write."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.moves import Mover
from agentflow_tenancy.moves.mover import Way
from agentflow_tenancy.offboarding import Offboarding, OffboardingRepository, Request
from tests.benchmarks.bench import Bench
from tests.benchmarks.cleaning import cleaner
from tests.benchmarks.measures.moves import Writing
from tests.benchmarks.measures.partitions import migrated
from tests.support import databases
from tests.support.leaving import runner_of, work_all

NEIGHBOURS = 4
PER_THREAD = 20
CONTENT = "x" * 400

_THREADS = """
INSERT INTO agentflow_threads (placement, tenant_id, thread_id, head, next_pos, run_id, state)
SELECT $1::int, $2::uuid, 't' || n, $4::int, $4::int, 'r', '{}' FROM generate_series(1, $3::int) n
"""
_CHECKPOINTS = """
INSERT INTO agentflow_checkpoints (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id,
                                   source, node, run_id, delta)
SELECT t.thread_no, $1::int, $2::uuid, s, s, false, gen_random_uuid(), 'node', 'n', 'r', '{"at": 1}'
FROM agentflow_threads t, generate_series(1, $3::int) s WHERE t.placement = $1::int AND t.tenant_id = $2::uuid
"""
_MESSAGES = """
INSERT INTO agentflow_messages (thread_no, placement, tenant_id, seq, pos, message_id, role, content_kind,
                                content)
SELECT t.thread_no, $1::int, $2::uuid, s, s, 'm' || s, 'user', 0, $4::text
FROM agentflow_threads t, generate_series(1, $3::int) s WHERE t.placement = $1::int AND t.tenant_id = $2::uuid
"""


async def measure_offboarding(bench: Bench) -> None:
    """In turn, dedicated tenants of one size and of ten times that; then one of the pool beside writers."""
    async with migrated(bench) as url:
        engine = create_async_engine(url, pool_size=10)
        try:
            times = await _dedicated(bench, engine, url)
            rates, ratios, floors = await _pooled(bench, engine, url)
        finally:
            await engine.dispose()
    report = bench.report
    small, large = bench.sizes.moved_checkpoints, 10 * bench.sizes.moved_checkpoints
    report.add("offboarding.small", f"a dedicated tenant of {small} checkpoints, once fenced", "ms", times[1])
    report.add("offboarding.large", f"  of {large}", "ms", times[10])
    report.add_ratio("offboarding.10x", "  to the small one", times[10], times[1])
    report.add("offboarding.rate", "rows/s of a pooled tenant beside 4 writers", "1/s", rates)
    report.add("offboarding.p99/alone", "p99 of the writers meanwhile, to alone", "x", ratios)
    report.add("offboarding.floor", "rows/s of the same by one DELETE a table, without rests", "1/s", floors)
    report.add_ratio("offboarding.rate/floor", "  an offboarding, to that", rates, floors)


async def _dedicated(bench: Bench, engine: AsyncEngine, url: str) -> dict[int, list[float]]:
    times: dict[int, list[float]] = {1: [], 10: []}
    for number in range(bench.sizes.rounds):
        for size, taken in times.items():
            tenant = await TenantRepository(engine).create_tenant(f"own-{number}-{size}")
            mover = Mover(engine, settle_s=0)
            placement = await mover.new_placement()
            await mover.prepare(Way(tenant.tenant_id, tenant.placement, placement))
            await _query(
                url,
                "UPDATE agentflow_tenants SET placement = $2 WHERE tenant_id = $1",
                tenant.tenant_id,
                placement,
            )
            await _fill(url, tenant, placement, size * bench.sizes.moved_checkpoints)
            done = await _offboarded(engine, tenant)
            taken.append(1000 * (_time(done.finished_at) - _time(done.fenced_at)))
    return times


async def _pooled(
    bench: Bench, engine: AsyncEngine, url: str
) -> tuple[list[float], list[float], list[float]]:
    checkpointer = PgCheckpointer(databases.app_url(url), bench.redis_url)
    rates, ratios, floors = [], [], []
    neighbour = await TenantRepository(engine).create_tenant("neighbour")
    scope = Scope(neighbour.tenant_id, neighbour.placement)
    repository = OffboardingRepository(engine)
    async with cleaner(url) as process:
        for number in range(min(3, bench.sizes.rounds)):
            tenant = await _beside(engine, url, f"pool-{number}", neighbour)
            await _fill(url, tenant, neighbour.placement, 10 * bench.sizes.moved_checkpoints)
            writing = Writing(checkpointer, scope)
            tasks = [asyncio.create_task(writing.run(writer)) for writer in range(NEIGHBOURS)]
            await asyncio.sleep(max(0.2, 4 * bench.sizes.seconds))
            alone = writing.taken()
            asked = await repository.request(tenant, Request(), actor=SYSTEM)
            took_s = await process.work("offboard")
            meanwhile = writing.taken() or alone
            done = await _done(repository, asked)
            rates.append(sum(done.counts.values()) / took_s)
            ratios.append(_p99(meanwhile) / _p99(alone))
            gone = await _beside(engine, url, f"floor-{number}", neighbour)
            await _fill(url, gone, neighbour.placement, 10 * bench.sizes.moved_checkpoints)
            floors.append(await _floor(url, gone, neighbour.placement))
            writing.stop.set()
            await asyncio.gather(*tasks)
    await checkpointer.aclose()
    return rates, ratios, floors


async def _beside(engine: AsyncEngine, url: str, slug: str, neighbour: Tenant) -> Tenant:
    """In the neighbours' own partition."""
    tenant = await TenantRepository(engine).create_tenant(slug)
    moved = "UPDATE agentflow_tenants SET placement = $2 WHERE tenant_id = $1"
    await _query(url, moved, tenant.tenant_id, neighbour.placement)
    return tenant


async def _floor(url: str, tenant: Tenant, placement: int) -> float:
    """Rows a second of what the server does at most, beside the same writers: the figure depends on it."""
    owner = await asyncpg.connect(url.replace("+asyncpg", ""))
    rows = 0
    began = time.perf_counter()
    for table in ("checkpoints", "messages", "threads"):
        leaf = f"agentflow_{table}_p{placement}"
        status = await owner.execute(f"DELETE FROM {leaf} WHERE tenant_id = $1", tenant.tenant_id)
        rows += int(status.rsplit(" ", 1)[-1])
    took_s = time.perf_counter() - began
    await owner.close()
    return rows / took_s


async def _offboarded(engine: AsyncEngine, tenant: Tenant) -> Offboarding:
    repository = OffboardingRepository(engine)
    asked = await repository.request(tenant, Request(), actor=SYSTEM)
    await work_all(runner_of(engine))
    return await _done(repository, asked)


async def _done(repository: OffboardingRepository, asked: Offboarding) -> Offboarding:
    done = await repository.get(asked.offboarding_id)
    assert done is not None
    assert done.state == "purged", done
    return done


async def _fill(url: str, tenant: Tenant, placement: int, checkpoints: int) -> None:
    threads = max(1, checkpoints // PER_THREAD)
    where: tuple[Any, ...] = (placement, tenant.tenant_id)
    await _query(url, _THREADS, *where, threads, PER_THREAD)
    await _query(url, _CHECKPOINTS, *where, PER_THREAD)
    await _query(url, _MESSAGES, *where, PER_THREAD, CONTENT)
    await _query(url, "ANALYZE agentflow_threads, agentflow_checkpoints, agentflow_messages")


async def _query(url: str, statement: str, *arguments: Any) -> None:
    owner = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await owner.execute(statement, *arguments)
    finally:
        await owner.close()


def _time(at: datetime | None) -> float:
    assert at is not None
    return at.timestamp()


def _p99(ascending: Sequence[float]) -> float:
    return ascending[int(0.99 * len(ascending))]
