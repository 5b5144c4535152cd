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
    guesses: dict[int, float] = {}
    rates: dict[int, list[float]] = {size: [] for size in POOLS}
    async with AsyncExitStack() as stack:
        for size, system in pools.items():
            await stack.enter_async_context(system)
            run = await write_for(system, writers=WRITERS, seconds=0, per_second=1)
            guesses[size] = run.per_second
        for _ in range(bench.sizes.rounds):
            for size, system in pools.items():
                seconds = bench.sizes.seconds
                run = await write_for(system, writers=WRITERS, seconds=seconds, per_second=guesses[size])
                guesses[size] = run.per_second
                rates[size].append(run.per_second)
    for size, of in rates.items():
        label = f"checkpoints/s, {WRITERS} writers, pool of {size}"
        bench.report.add(f"pool.{size}", label, "1/s", of)
