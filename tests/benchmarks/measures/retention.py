"""A sweep of what is past its time: how fast, and what a neighbour in the same partition notices."""

import asyncio
import time

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_tenancy import TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.tenants import NewTenant, Tenant
from tests.benchmarks.bench import Bench
from tests.benchmarks.cleaning import cleaner
from tests.benchmarks.measures.moves import CHECKPOINTS_A_THREAD, Writing
from tests.benchmarks.measures.partitions import migrated
from tests.support import databases

NEIGHBOURS = 4
_THREADS = """
INSERT INTO agentflow_threads (placement, tenant_id, thread_id, head, next_pos, run_id, state, updated_at)
SELECT $1, $2, 'old-' || n, $4, $4, 'r', '{"at": 1}', now() - interval '31 days'
FROM generate_series(1, $3::int) n
"""
_CHECKPOINTS = """
INSERT INTO agentflow_checkpoints
    (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id, source, node, run_id, delta)
SELECT t.thread_no, t.placement, t.tenant_id, s, s, s = 1, gen_random_uuid(), 'node', 'A', 'r', '{"at": 1}'
FROM agentflow_threads t, generate_series(1, $3::int) s WHERE t.placement = $1 AND t.tenant_id = $2
"""
_MESSAGES = """
INSERT INTO agentflow_messages
    (thread_no, placement, tenant_id, pos, seq, content_kind, message_id, role, content)
SELECT t.thread_no, t.placement, t.tenant_id, s, s, 0, 'm' || s, 'user', repeat('hello ', 30)
FROM agentflow_threads t, generate_series(1, $3::int) s WHERE t.placement = $1 AND t.tenant_id = $2
"""


async def measure_retention(bench: Bench) -> None:
    """In turn, neighbours' p99 without and with a sweep of a tenant of their partition, and its rate."""
    rates, ratios, floors = [], [], []
    async with migrated(bench) as url, cleaner(url) as process:
        engine = create_async_engine(url, pool_size=4)
        neighbour = await TenantRepository(engine).create_tenant("neighbour")
        checkpointer = PgCheckpointer(databases.app_url(url), bench.redis_url)
        writing = Writing(checkpointer, Scope(neighbour.tenant_id, neighbour.placement))
        tasks = [asyncio.create_task(writing.run(number)) for number in range(NEIGHBOURS)]
        for number in range(min(5, bench.sizes.rounds)):
            tenant = await _beside(engine, neighbour, f"t-{number}")
            checkpoints = await _fill(url, tenant, bench.sizes.swept_checkpoints)
            writing.taken()
            await asyncio.sleep(max(0.2, 2 * bench.sizes.seconds))
            alone = writing.taken()
            rates.append(checkpoints / await process.work("sweep"))
            # A tiny sweep is over before anybody wrote.
            beside = writing.taken() or alone
            assert await _delete(url, tenant) == 0
            ratios.append(_p99(beside) / _p99(alone))
            await _fill(url, tenant, bench.sizes.swept_checkpoints)
            began = time.perf_counter()
            await _delete(url, tenant)
            floors.append(checkpoints / (time.perf_counter() - began))
        writing.stop.set()
        await asyncio.gather(*tasks)
        await checkpointer.aclose()
        await engine.dispose()
    report = bench.report
    report.add("retention.rate", "checkpoints/s of a sweep beside 4 writers", "1/s", rates)
    report.add("retention.p99/alone", "p99 of a neighbour's writers during a sweep, to alone", "x", ratios)
    report.add("retention.floor", "checkpoints/s of the same by one DELETE, without rests", "1/s", floors)
    report.add_ratio("retention.rate/floor", "  a sweep, to that", rates, floors)


async def _beside(engine: AsyncEngine, neighbour: Tenant, slug: str) -> Tenant:
    """A tenant of the same partition that keeps threads for thirty days."""
    repository = TenantRepository(engine)
    for number in range(1000):
        made = await repository.create(NewTenant(f"{slug}-{number}", retention_days=30), actor=SYSTEM)
        if made.placement == neighbour.placement:
            return made
    raise AssertionError("no tenant came into the neighbour's partition")


async def _delete(url: str, tenant: Tenant) -> int:
    """How many threads there were."""
    owner = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        status = await owner.execute(
            "DELETE FROM agentflow_threads WHERE placement = $1 AND tenant_id = $2",
            tenant.placement, tenant.tenant_id,
        )  # fmt: skip
        return int(status.rsplit(" ", 1)[-1])
    finally:
        await owner.close()


async def _fill(url: str, tenant: Tenant, checkpoints: int) -> int:
    """Threads of so many checkpoints and messages together, unchanged for longer than they are kept."""
    threads = max(1, checkpoints // CHECKPOINTS_A_THREAD)
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        whose = (tenant.placement, tenant.tenant_id)
        await connection.execute(_THREADS, *whose, threads, CHECKPOINTS_A_THREAD)
        for statement in (_CHECKPOINTS, _MESSAGES):
            await connection.execute(statement, *whose, CHECKPOINTS_A_THREAD)
        # What is past its time was vacuumed long ago; else that would be done at some moment meanwhile.
        await connection.execute(
            "VACUUM ANALYZE agentflow_threads, agentflow_checkpoints, agentflow_messages"
        )
    finally:
        await connection.close()
    return threads * CHECKPOINTS_A_THREAD


def _p99(times: list[float]) -> float:
    return times[int(0.99 * len(times))]
