"""Turns a second of a durable graph, beside the same graph in memory."""

import asyncio
import time
import uuid

from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer
from tests.benchmarks.bench import Bench
from tests.benchmarks.graph_turns import Chats, three_nodes

THREADS = (1, 16)


async def measure_turns(bench: Bench) -> None:
    """Interleaved: in each round every system runs, one after the other."""
    systems: dict[str, BaseCheckpointer] = {
        "memory": InMemoryCheckpointer(),
        "durable": PgCheckpointer(
            bench.database_url, redis_url=bench.redis_url, pool_size=16, max_overflow=0
        ),
    }
    for checkpointer in systems.values():
        await checkpointer.asetup()
    for threads in THREADS:
        rates: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(bench.sizes.rounds):
            for name, checkpointer in systems.items():
                rates[name].append(await _rate(checkpointer, threads, bench.sizes.seconds))
        for name in systems:
            bench.report.add(
                f"turns.{threads}.{name}", f"turns/s, 3 nodes, {threads} at once, {name}", "1/s", rates[name]
            )
        bench.report.add_ratio(
            f"turns.{threads}/memory", "  durable / memory", rates["durable"], rates["memory"]
        )
    for checkpointer in systems.values():
        await checkpointer.aclose()


async def _rate(checkpointer: BaseCheckpointer, threads: int, seconds: float) -> float:
    app = three_nodes(checkpointer)
    chats = [Chats(app, f"turns-{uuid.uuid4().hex[:8]}-{number}") for number in range(threads)]
    await asyncio.gather(*(chat.turn() for chat in chats))
    start = time.perf_counter()
    counts = await asyncio.gather(*(_turns_until(chat, start + seconds) for chat in chats))
    return sum(counts) / (time.perf_counter() - start)


async def _turns_until(chat: Chats, until: float) -> int:
    count = 0
    while count == 0 or time.perf_counter() < until:
        await chat.turn()
        count += 1
    return count
