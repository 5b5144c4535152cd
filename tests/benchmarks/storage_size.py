"""Bytes on disk and in Redis for a 10-turn thread."""

import asyncio
import uuid

import asyncpg
from redis.asyncio import Redis

from agentflow.storage.checkpointer import PgCheckpointer
from tests.benchmarks.report import Report
from tests.benchmarks.workload import TURNS, Chats, three_nodes

THREADS = 300

TABLES_SIZE = """
SELECT split_part(relname, '_', 2) AS name, sum(pg_total_relation_size(oid))::bigint AS size_bytes
FROM pg_class
WHERE relkind = 'r' AND relname LIKE 'agentflow\\_%' AND split_part(relname, '_', 2)
      IN ('threads', 'checkpoints', 'messages')
GROUP BY 1 ORDER BY 1
"""


async def measure_size(report: Report, database_url: str, redis_url: str) -> None:
    """Write threads, then weigh what they added, indexes included, after a vacuum."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    redis = Redis.from_url(redis_url)
    checkpointer = PgCheckpointer(database_url, redis_url=redis_url)
    await checkpointer.asetup()
    await redis.flushdb()
    try:
        before = await _sizes(connection)
        await _write(checkpointer)
        after = await _sizes(connection)
        for table, size_bytes in after.items():
            report.add(
                f"disk per 10-turn thread, {table}", "KiB", [(size_bytes - before[table]) / THREADS / 1024]
            )
        total = (sum(after.values()) - sum(before.values())) / THREADS / 1024
        report.add("disk per 10-turn thread", "KiB", [total])
        cached = [size_bytes for size_bytes in [await _cached_bytes(redis)] if size_bytes]
        report.add("Redis per cached 10-turn thread", "KiB", [size / THREADS / 1024 for size in cached])
    finally:
        await checkpointer.aclose()
        await redis.aclose()
        await connection.close()


async def _write(checkpointer: PgCheckpointer) -> None:
    app = three_nodes(checkpointer)
    chats = [Chats(app, f"size-{uuid.uuid4().hex[:8]}-{thread}") for thread in range(THREADS)]
    for _ in range(TURNS):
        for batch in range(0, THREADS, 20):
            await asyncio.gather(*(chat.turn() for chat in chats[batch : batch + 20]))


async def _sizes(connection: asyncpg.Connection) -> dict[str, int]:
    for table in ("agentflow_threads", "agentflow_checkpoints", "agentflow_messages"):
        await connection.execute(f"VACUUM FULL {table}")
    return {row["name"]: row["size_bytes"] for row in await connection.fetch(TABLES_SIZE)}


async def _cached_bytes(redis: Redis) -> int:
    total = 0
    async for key in redis.scan_iter(match="af:*", count=1000):
        total += await redis.memory_usage(key) or 0
    return total
