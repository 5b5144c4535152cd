"""How many connections writers need: checkpoints a second with small and large pools."""

from contextlib import AsyncExitStack

from tests.benchmarks.bench import Bench
from tests.benchmarks.driving import write_for
from tests.benchmarks.systems.ours import Ours

POOLS = (1, 2, 4, 8, 16)
WRITERS = 64


async def measure_pools(bench: Bench) -> None:
    """The same writers on each pool, interleaved."""
    pools = {size: Ours(bench.database_url, pool_size=size) for size in POOLS}
    rates: dict[int, list[float]] = {size: [] for size in POOLS}
    async with AsyncExitStack() as stack:
        for system in pools.values():
            await stack.enter_async_context(system)
            await write_for(system, writers=WRITERS, seconds=0, per_second=1)
        for _ in range(bench.sizes.rounds):
            for size, system in pools.items():
                last = rates[size][-1] if rates[size] else 1000.0
                seconds = bench.sizes.seconds / 2
                run = await write_for(system, writers=WRITERS, seconds=seconds, per_second=last)
                rates[size].append(run.per_second)
    for size, of in rates.items():
        label = f"checkpoints/s, {WRITERS} writers, pool of {size}"
        bench.report.add(f"pool.{size}", label, "1/s", of)
