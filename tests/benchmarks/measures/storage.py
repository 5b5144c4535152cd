"""Bytes on disk and in Redis of 10-turn threads that nobody uses at the moment."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from redis.asyncio import Redis

from tests.benchmarks.bench import Bench
from tests.benchmarks.driving import write_threads
from tests.benchmarks.measures.growth import WAL_POSITION
from tests.benchmarks.systems.leaves import LEAVES
from tests.benchmarks.systems.ours import Ours
from tests.benchmarks.workload import chats

# With its overflow table, where the archives are.
DEAD = """
SELECT pg_stat_get_dead_tuples(oid) + coalesce(pg_stat_get_dead_tuples(nullif(reltoastrelid, 0)), 0)
FROM pg_class WHERE oid = $1::text::regclass
"""
WEIGHT = "SELECT pg_total_relation_size($1::text::regclass), pg_indexes_size($1::text::regclass)"


@dataclass(frozen=True)
class Weight:
    """What a table takes."""

    size_bytes: int = 0
    index_bytes: int = 0
    rows: int = 0

    def since(self, earlier: "Weight") -> "Weight":
        """What it grew."""
        return Weight(
            self.size_bytes - earlier.size_bytes,
            self.index_bytes - earlier.index_bytes,
            self.rows - earlier.rows,
        )


Weights = dict[str, Weight]


async def measure_storage(bench: Bench) -> None:
    """Write generations of threads with 16 writers, weigh what is there, pack and vacuum.

    A table never gives back the room in its middle: it uses it again. So what an idle thread costs is what
    tables grow by with each further generation. They are weighed while one is at work, for which there must
    always be room: once it is packed, a VACUUM may give back the room at the end, or not, and the next
    generation would look dear: weighed after it, a round in seven showed 34 KiB a thread.
    """
    connection = await asyncpg.connect(bench.dsn)
    redis = Redis.from_url(bench.redis_url)
    try:
        memory = await _warm(bench, redis)
        weights = [await _first(bench, connection)]
        for _ in range(bench.sizes.rounds):
            await _pack(bench, connection)
            async with Ours(bench.database_url) as ours:
                await write_threads(ours, chats(bench.sizes.threads), writers=16)
            weights.append(await _weights(connection))
        # At the end, when the server has let go of the buffers of the connections that wrote.
        cached_kib = (await _used_memory(redis) - memory) / bench.sizes.threads / 1024
    finally:
        await redis.aclose()
        await connection.close()
    _add(bench, "disk", [_grown(old, new) for old, new in itertools.pairwise(weights)])
    bench.report.add("redis.thread", "Redis of a cached 10-turn thread", "KiB", [cached_kib])


async def _warm(bench: Bench, redis: Redis) -> int:
    """What Redis takes once it knows scripts and had clients: 200 KB, for the first thread alone."""
    async with Ours(bench.database_url, bench.redis_url) as ours:
        await write_threads(ours, chats(16), writers=16)
    return await _used_memory(redis)


async def _first(bench: Bench, connection: asyncpg.Connection) -> Weights:
    """The first generation, as it is written: on empty tables, and into Redis."""
    async with Ours(bench.database_url, bench.redis_url) as ours:
        await ours.reset()
        before = await connection.fetchval(WAL_POSITION)
        run = await write_threads(ours, chats(bench.sizes.threads), writers=16)
        wal = float(await connection.fetchval(WAL_POSITION) - before) / len(run.latencies_s)
    bench.report.add("wal.checkpoint", "WAL of a checkpoint, 16 writers", "B", [wal])
    weights = await _weights(connection)
    _add(bench, "disk.fresh", [weights])
    return weights


async def _pack(bench: Bench, connection: asyncpg.Connection) -> None:
    """Do what the worker does for threads that were left alone, and autovacuum after it."""
    async with Ours(bench.database_url) as ours:
        await ours.checkpointer.pack_idle(idle_for=timedelta(0))
    for leaf, _ in await connection.fetch(LEAVES):
        await _vacuum(connection, leaf)


async def _vacuum(connection: asyncpg.Connection, leaf: str) -> None:
    """Until nothing dead is left, as autovacuum comes again, too: what somebody may still read is kept."""
    async with asyncio.timeout(60):
        while True:
            await connection.execute(f"VACUUM {leaf}")
            if not await connection.fetchval(DEAD, leaf):
                return


async def _weights(connection: asyncpg.Connection) -> Weights:
    weights = {}
    for leaf, name in await connection.fetch(LEAVES):
        await _vacuum(connection, leaf)
        ((size_bytes, index_bytes),) = await connection.fetch(WEIGHT, leaf)
        rows = await connection.fetchval(f"SELECT count(*) FROM {leaf}")
        weights[name] = Weight(size_bytes, index_bytes, rows)
    return weights


def _grown(old: Weights, new: Weights) -> Weights:
    return {name: weight.since(old[name]) for name, weight in new.items()}


def _add(bench: Bench, state: str, rounds: Sequence[Weights]) -> None:
    """Figures of each table, then of all; `state` is `disk.fresh` as written and `disk` once packed."""
    for name in rounds[0]:
        if any(weights[name].rows for weights in rounds):
            _add_one(bench, f"{state}.{name}", [weights[name] for weights in rounds])
    _add_one(bench, state, [_total(weights) for weights in rounds])


def _add_one(bench: Bench, key: str, rounds: Sequence[Weight]) -> None:
    threads, report = bench.sizes.threads, bench.report
    kib = threads * 1024
    report.add(f"{key}.rows", f"10-turn thread, {key}: rows", "rows", [one.rows / threads for one in rounds])
    report.add(f"{key}.thread", "  with indexes", "KiB", [one.size_bytes / kib for one in rounds])
    report.add(f"{key}.indexes", "  indexes alone", "KiB", [one.index_bytes / kib for one in rounds])
    report.add(f"{key}.row", "  a row", "B", [one.size_bytes / max(1, one.rows) for one in rounds])


def _total(weights: Weights) -> Weight:
    return Weight(
        sum(weight.size_bytes for weight in weights.values()),
        sum(weight.index_bytes for weight in weights.values()),
        sum(weight.rows for weight in weights.values()),
    )


async def _used_memory(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])
