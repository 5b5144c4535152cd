"""Running a system at full speed: so many at once, each one after another."""

import asyncio
import gc
import random
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.systems.system import System, Writer
from tests.benchmarks.workload import STEPS_PER_TURN, TURNS, Chat, chats

STEPS = TURNS * STEPS_PER_TURN


@dataclass(frozen=True)
class Run:
    """What one run of one system took."""

    latencies_s: list[float]
    elapsed_s: float

    @property
    def per_second(self) -> float:
        """Operations in a second."""
        return len(self.latencies_s) / self.elapsed_s

    @property
    def p50_ms(self) -> float:
        """The usual latency."""
        return statistics.median(self.latencies_s) * 1000

    @property
    def p95_ms(self) -> float:
        """What one in twenty exceeds."""
        ordered = sorted(self.latencies_s)
        return ordered[int(0.95 * len(ordered))] * 1000


def threads_for(per_second: float, seconds: float, writers: int) -> int:
    """How many 10-turn threads fill that time, as many for each writer."""
    wanted = per_second * seconds / STEPS / writers
    return max(1, round(wanted)) * writers


async def write_threads(system: System, threads: Sequence[Chat], *, writers: int) -> Run:
    """Write these chats as new threads; threads are begun and ended outside the measured time."""
    name = uuid.uuid4().hex[:12]
    todo = [await system.writer(f"{name}-{number}", chat) for number, chat in enumerate(threads)]
    try:
        return await write_all(todo, at_once=writers)
    finally:
        for writer in todo:
            await writer.close()


async def write_all(writers: Sequence[Writer], *, at_once: int) -> Run:
    """Take each writer from its first step to its last."""
    latencies: list[float] = []
    todo = list(reversed(writers))

    async def lane() -> None:
        while todo:
            writer = todo.pop()
            for step in range(writer.steps):
                item = writer.prepare(step)
                start = time.perf_counter()
                await writer.write(item)
                latencies.append(time.perf_counter() - start)

    gc.collect()
    start = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return Run(latencies, time.perf_counter() - start)


async def write_for(system: System, *, writers: int, seconds: float, per_second: float) -> Run:
    """Write about that long on empty tables."""
    await system.reset()
    return await write_threads(system, chats(threads_for(per_second, seconds, writers)), writers=writers)


async def read_for(
    read: Callable[[str], Awaitable[object]], thread_ids: Sequence[str], *, readers: int, seconds: float
) -> Run:
    """Read threads at random, the same ones in the same order for every system."""
    latencies: list[float] = []

    async def lane(seed: int) -> None:
        rng = random.Random(seed)
        while (start := time.perf_counter()) < until:
            await read(rng.choice(thread_ids))
            latencies.append(time.perf_counter() - start)

    gc.collect()
    begun = time.perf_counter()
    until = begun + seconds
    await asyncio.gather(*(lane(seed) for seed in range(readers)))
    return Run(latencies, time.perf_counter() - begun)
