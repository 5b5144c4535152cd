"""What a turn of a three-node graph says to its servers: round trips, and bytes to Redis as it grows."""

import statistics
import uuid
from collections import defaultdict

from agentflow.storage.checkpointer import PgCheckpointer
from tests.benchmarks.bench import Bench
from tests.benchmarks.counting_proxy import CountingProxy
from tests.benchmarks.graph_turns import Chats, three_nodes


async def measure_wire(bench: Bench) -> None:
    """One conversation through proxies that count; every turn is a figure, and rounds are conversations."""
    counts: dict[str, list[float]] = defaultdict(list)
    async with CountingProxy(bench.database_url) as postgres, CountingProxy(bench.redis_url) as redis:
        for _ in range(bench.sizes.rounds):
            for key, value in (await _conversation(bench, postgres, redis)).items():
                counts[key].append(value)
    report = bench.report
    report.add("trips.postgres", "Postgres round trips of a turn", "trips", counts["postgres"])
    report.add("trips.redis", "Redis round trips of a turn", "trips", counts["redis"])
    report.add("wire.redis.young", f"bytes sent to Redis at turn {bench.sizes.young}", "B", counts["young"])
    report.add("wire.redis.old", f"bytes sent to Redis at turn {bench.sizes.old}", "B", counts["old"])
    report.add_ratio("growth.redis", "bytes to Redis, old to young", counts["old"], counts["young"])


async def _conversation(bench: Bench, postgres: CountingProxy, redis: CountingProxy) -> dict[str, float]:
    checkpointer = PgCheckpointer(postgres.url, redis_url=redis.url, pool_size=4, max_overflow=0)
    sizes = bench.sizes
    turns = sizes.old + sizes.around
    chat = Chats(three_nodes(checkpointer), f"wire-{uuid.uuid4().hex[:12]}", turns=turns)
    trips: list[tuple[int, int]] = []
    sent: list[int] = []
    try:
        for _ in range(turns):
            postgres.restart()
            redis.restart()
            await chat.turn()
            trips.append((postgres.round_trips, redis.round_trips))
            sent.append(redis.sent_bytes)
    finally:
        await checkpointer.aclose()
    # The first turns open connections and prepare statements.
    settled = trips[min(sizes.young, len(trips) // 2) :]
    return {
        "postgres": statistics.mean(of for of, _ in settled),
        "redis": statistics.mean(of for _, of in settled),
        "young": _around(sent, sizes.young, sizes.around),
        "old": _around(sent, sizes.old, sizes.around),
    }


def _around(values: list[int], turn: int, around: int) -> float:
    return statistics.mean(values[max(0, turn - around - 1) : turn + around])
