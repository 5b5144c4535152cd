"""Turns a second of a durable graph, against the same graph in memory."""

import asyncio
import time
import uuid

from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer
from tests.benchmarks.report import Report
from tests.benchmarks.workload import Chats, three_nodes

WRITERS = (1, 16)


async def measure_turns(
    report: Report, database_url: str, redis_url: str, *, rounds: int, seconds: float
) -> None:
    """Interleaved: in each round every system runs for `seconds`, one after the other."""
    systems: dict[str, BaseCheckpointer] = {
        "memory": InMemoryCheckpointer(),
        "postgres": PgCheckpointer(database_url, redis_url=None),
        "postgres+redis": PgCheckpointer(database_url, redis_url=redis_url),
    }
    for checkpointer in systems.values():
        await checkpointer.asetup()
    for writers in WRITERS:
        rates: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(rounds):
            for name, checkpointer in systems.items():
                rates[name].append(await _rate(checkpointer, writers, seconds))
        for name in systems:
            report.add(f"turns/s, 3 nodes, {writers} threads, {name}", "1/s", rates[name])
        for name in list(systems)[1:]:
            report.add_ratio(f"  {name} / memory", rates[name], rates["memory"])
    for checkpointer in systems.values():
        await checkpointer.aclose()


async def _rate(checkpointer: BaseCheckpointer, writers: int, seconds: float) -> float:
    app = three_nodes(checkpointer)
    chats = [Chats(app, f"bench-{uuid.uuid4().hex[:8]}-{writer}") for writer in range(writers)]
    await asyncio.gather(*(chat.turn() for chat in chats))
    start = time.perf_counter()
    until = start + seconds
    counts = await asyncio.gather(*(_turns_until(chat, until) for chat in chats))
    return sum(counts) / (time.perf_counter() - start)


async def _turns_until(chat: Chats, until: float) -> int:
    count = 0
    while time.perf_counter() < until:
        await chat.turn()
        count += 1
    return count
