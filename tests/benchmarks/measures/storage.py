"""Bytes on disk and in Redis of 10-turn threads that nobody uses at the moment."""

from datetime import timedelta

import asyncpg
from redis.asyncio import Redis

from tests.benchmarks.bench import Bench
from tests.benchmarks.driving import write_threads
from tests.benchmarks.measures.growth import WAL_POSITION
from tests.benchmarks.systems.ours import Ours
from tests.benchmarks.workload import chats

LEAVES = """
SELECT relname AS leaf, regexp_replace(relname, '^agentflow_|_p[0-9]+$', '', 'g') AS name FROM pg_class
WHERE relkind = 'r' AND relispartition AND relname LIKE 'agentflow\\_%' ORDER BY 1
"""
WEIGHT = """
SELECT pg_total_relation_size(c.oid) AS total, pg_indexes_size(c.oid) AS indexes
FROM pg_class c WHERE c.oid = $1::text::regclass
"""


async def measure_storage(bench: Bench) -> None:
    """Write threads with 16 writers, let the background work be done, and weigh what is there."""
    connection = await asyncpg.connect(bench.dsn)
    redis = Redis.from_url(bench.redis_url)
    try:
        async with Ours(bench.database_url, bench.redis_url) as ours:
            await ours.reset()
            memory = await _used_memory(redis)
            await _write(bench, ours, connection)
            await _weigh(bench, connection, "disk.fresh")
            await ours.checkpointer.pack_idle(idle_for=timedelta(0))  # as the worker does after ten minutes
        await _weigh(bench, connection, "disk")
        grown = (await _used_memory(redis) - memory) / bench.sizes.threads / 1024
        bench.report.add("redis.thread", "Redis of a cached 10-turn thread", "KiB", [grown])
    finally:
        await redis.aclose()
        await connection.close()


async def _write(bench: Bench, ours: Ours, connection: asyncpg.Connection) -> None:
    before = await connection.fetchval(WAL_POSITION)
    run = await write_threads(ours, chats(bench.sizes.threads), writers=16)
    size = float(await connection.fetchval(WAL_POSITION) - before) / len(run.latencies_s)
    bench.report.add("wal.checkpoint", "WAL of a checkpoint, 16 writers", "B", [size])


async def _weigh(bench: Bench, connection: asyncpg.Connection, state: str) -> None:
    threads, report = bench.sizes.threads, bench.report
    total = indexes = rows = 0.0
    for leaf, name in await connection.fetch(LEAVES):
        await connection.execute(f"VACUUM {leaf}")
        (weight,) = await connection.fetch(WEIGHT, leaf)
        count = await connection.fetchval(f"SELECT count(*) FROM {leaf}")
        if count:
            _add_table(bench, f"{state}.{name}", weight["total"], count)
        total, indexes, rows = total + weight["total"], indexes + weight["indexes"], rows + count
    report.add(f"{state}.rows", f"rows of a 10-turn thread, {state}", "rows", [rows / threads])
    report.add(f"{state}.row", f"bytes of a row, {state}", "B", [total / rows])
    report.add(f"{state}.indexes", f"indexes of a 10-turn thread, {state}", "KiB", [indexes / threads / 1024])
    report.add(f"{state}.thread", f"disk of a 10-turn thread, {state}", "KiB", [total / threads / 1024])


def _add_table(bench: Bench, key: str, size_bytes: int, rows: int) -> None:
    threads, report = bench.sizes.threads, bench.report
    report.add(f"{key}.rows", f"rows of a 10-turn thread, {key}", "rows", [rows / threads])
    report.add(f"{key}.thread", f"  disk, {key}", "KiB", [size_bytes / threads / 1024])
    report.add(f"{key}.row", f"  a row, {key}", "B", [size_bytes / rows])


async def _used_memory(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])
