"""Latest-state reads: from Postgres beside a one-row SELECT, from caches beside a GET."""

import uuid

from tests.benchmarks.bench import Bench
from tests.benchmarks.driving import Run, read_for, write_all
from tests.benchmarks.systems.ours import Ours
from tests.benchmarks.systems.redis_values import RedisValues
from tests.benchmarks.systems.rows import Rows
from tests.benchmarks.systems.system import System
from tests.benchmarks.workload import Chat, chats

READERS = 32
MESSAGES_A_TURN = 2
LAST = 50


async def measure_reads(bench: Bench) -> None:
    """Cold reads of small and of long threads, then warm ones."""
    async with Ours(bench.database_url, cache_bytes=0) as ours, Rows(bench.dsn, whole=True) as rows:
        await _cold(bench, ours, rows)
        await _last(bench, ours, rows)
    async with Ours(bench.database_url, bench.redis_url) as ours, RedisValues(bench.redis_url) as values:
        await _warm(bench, ours, values)


async def _cold(bench: Bench, ours: Ours, rows: Rows) -> None:
    ids = _ids(bench.sizes.read_threads)
    for system in (ours, rows):
        await system.reset()
        await _fill(system, ids, chats(len(ids)))
    seconds = bench.sizes.seconds
    mine: list[Run] = []
    theirs: list[Run] = []
    for _ in range(bench.sizes.rounds):
        mine.append(await read_for(ours.read, ids, readers=1, seconds=seconds))
        theirs.append(await read_for(rows.read, ids, readers=1, seconds=seconds))
    _add_latencies(bench, "cold", "20 messages", mine, theirs)


async def _last(bench: Bench, ours: Ours, rows: Rows) -> None:
    # A few threads are enough: as a row, each is 240 KB.
    turns = bench.sizes.old
    ids = _ids(max(1, bench.sizes.read_threads // 8))
    await _fill(ours, ids, chats(len(ids), turns))
    for thread_id, chat in zip(ids, chats(len(ids), turns), strict=True):
        writer = await rows.writer(thread_id, chat)
        await writer.write(writer.prepare(writer.steps - 1))
    mine: list[Run] = []
    theirs: list[Run] = []
    for _ in range(bench.sizes.rounds):
        seconds = bench.sizes.seconds
        mine.append(await read_for(lambda name: ours.read_last(name, LAST), ids, readers=1, seconds=seconds))
        theirs.append(await read_for(rows.read, ids, readers=1, seconds=seconds))
    _add_latencies(bench, "last", f"last {LAST} of {MESSAGES_A_TURN * turns}", mine, theirs)


def _add_latencies(bench: Bench, key: str, what: str, mine: list[Run], theirs: list[Run]) -> None:
    ours = [run.p50_ms for run in mine]
    row = [run.p50_ms for run in theirs]
    bench.report.add(f"read.{key}.agentflow", f"cold read, {what}, p50", "ms", ours)
    bench.report.add(f"read.{key}.row", "  one-row SELECT of the whole state, p50", "ms", row)
    bench.report.add(f"read.{key}.p95", "  agentflow, p95", "ms", [run.p95_ms for run in mine])
    bench.report.add_ratio(f"read.{key}/row", "  to the one-row SELECT", ours, row)


async def _warm(bench: Bench, ours: Ours, values: RedisValues) -> None:
    ids = _ids(bench.sizes.read_threads)
    await ours.reset()
    await _fill(ours, ids, chats(len(ids)))
    for thread_id, chat in zip(ids, chats(len(ids)), strict=True):
        await values.store(thread_id, chat)
    for read in (ours.read, values.read):  # opens connections, and fills caches
        await read_for(read, ids, readers=READERS, seconds=bench.sizes.seconds / 4)
    mine: list[float] = []
    theirs: list[float] = []
    for _ in range(bench.sizes.rounds):
        for read, rates in ((ours.read, mine), (values.read, theirs)):
            run = await read_for(read, ids, readers=READERS, seconds=bench.sizes.seconds)
            rates.append(run.per_second)
    bench.report.add("read.warm.agentflow", f"warm reads/s, {READERS} readers", "1/s", mine)
    bench.report.add("read.warm.redis", "  redis-py GET of the same state", "1/s", theirs)
    bench.report.add_ratio("read.warm/redis", "  to redis-py GET", mine, theirs)


def _ids(count: int) -> list[str]:
    name = uuid.uuid4().hex[:12]
    return [f"{name}-{number}" for number in range(count)]


async def _fill(system: System, ids: list[str], contents: list[Chat]) -> None:
    writers = [await system.writer(name, chat) for name, chat in zip(ids, contents, strict=True)]
    await write_all(writers, at_once=16)
    for writer in writers:
        await writer.close()
