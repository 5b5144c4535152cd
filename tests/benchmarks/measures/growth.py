"""What a checkpoint costs late in a conversation, beside the same early."""

import statistics
import time
import uuid
from collections.abc import Sequence

import asyncpg

from tests.benchmarks.bench import Bench
from tests.benchmarks.systems.ours import Ours
from tests.benchmarks.systems.system import Writer
from tests.benchmarks.workload import STEPS_PER_TURN, Chat

WAL_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"

Cost = tuple[float, float]  # seconds, bytes of WAL


async def measure_growth(bench: Bench) -> None:
    """A young and an old thread take a step each in turn, so that what the machine does hits both."""
    connection = await asyncpg.connect(bench.dsn)
    latencies: dict[str, list[float]] = {"young": [], "old": []}
    wal: dict[str, list[float]] = {"young": [], "old": []}
    try:
        async with Ours(bench.database_url) as ours:
            for _ in range(bench.sizes.rounds):
                await ours.reset()
                costs = await _round(bench, ours, connection)
                for age, steps in costs.items():
                    latencies[age].append(statistics.median(seconds for seconds, _ in steps) * 1e6)
                    wal[age].append(statistics.mean(size for _, size in steps))
    finally:
        await connection.close()
    for age, turn in (("young", bench.sizes.young), ("old", bench.sizes.old)):
        bench.report.add(f"growth.latency.{age}", f"checkpoint at turn {turn}, p50", "us", latencies[age])
        bench.report.add(f"growth.wal.{age}", f"WAL of a checkpoint at turn {turn}", "B", wal[age])
    bench.report.add_ratio("growth.latency", "latency, old to young", latencies["old"], latencies["young"])
    bench.report.add_ratio("growth.wal", "WAL, old to young", wal["old"], wal["young"])


async def _round(bench: Bench, ours: Ours, connection: asyncpg.Connection) -> dict[str, list[Cost]]:
    sizes = bench.sizes
    costs: dict[str, list[Cost]] = {"young": [], "old": []}
    for number in range(sizes.grown_threads):
        name = uuid.uuid4().hex[:12]
        ages = {"young": sizes.young, "old": sizes.old}
        # Grown threads are as long as they need to be.
        writers = {
            age: await ours.writer(f"{name}-{age}", Chat(number, turn + sizes.around))
            for age, turn in ages.items()
        }
        starts = {age: (turn - sizes.around - 1) * STEPS_PER_TURN for age, turn in ages.items()}
        for age, writer in writers.items():
            await _write(writer, range(max(0, starts[age])))
        for step in range((2 * sizes.around + 1) * STEPS_PER_TURN):
            for age, writer in writers.items():
                if starts[age] + step >= 0:
                    costs[age].append(await _cost(writer, starts[age] + step, connection))
        for writer in writers.values():
            await writer.close()
    return costs


async def _write(writer: Writer, steps: Sequence[int]) -> None:
    for step in steps:
        await writer.write(writer.prepare(step))


async def _cost(writer: Writer, step: int, connection: asyncpg.Connection) -> Cost:
    item = writer.prepare(step)
    before = await connection.fetchval(WAL_POSITION)
    start = time.perf_counter()
    await writer.write(item)
    seconds = time.perf_counter() - start
    return seconds, float(await connection.fetchval(WAL_POSITION) - before)
