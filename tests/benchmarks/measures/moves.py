"""A promotion under writers: how fast rows go, and what writers notice."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_worker.operation_runner import OperationRunner
from tests.benchmarks.bench import Bench
from tests.benchmarks.measures.partitions import migrated
from tests.support import databases

WRITERS = 8
CHECKPOINTS_A_THREAD = 20
CONTENT = "x" * 4000


@dataclass
class Writing:
    """Writers of one tenant, until they are stopped."""

    checkpointer: PgCheckpointer
    scope: Scope
    latencies_s: list[float] = field(default_factory=list)
    heads: dict[str, int] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, number: int) -> None:
        """A new thread each twenty checkpoints, as turns do."""
        while not self.stop.is_set():
            name, snapshot = f"w{number}-{uuid.uuid4().hex}", None
            for _ in range(CHECKPOINTS_A_THREAD):
                if self.stop.is_set():
                    break
                began = time.perf_counter()
                async with self.checkpointer.session(self.scope, name) as session:
                    snapshot = session.snapshot
                    pos = 0 if snapshot is None else snapshot.next_pos
                    committed = await session.append(
                        write_after(snapshot, {"at": pos}, added=[message(pos, "hello")])
                    )
                self.latencies_s.append(time.perf_counter() - began)
                self.heads[name] = committed.head

    def taken(self) -> list[float]:
        """Latencies since it was asked last, ascending."""
        latencies, self.latencies_s = sorted(self.latencies_s), []
        return latencies


async def measure_moves(bench: Bench) -> None:
    """Latencies of eight writers before, and while their tenant moves to a partition of its own."""
    async with migrated(bench) as url:
        engine = create_async_engine(url, pool_size=6)
        checkpointer = PgCheckpointer(databases.app_url(url), bench.redis_url)
        rates, worst, ratios, kept = [], [], [], []
        for number in range(min(3, bench.sizes.rounds)):
            tenant = await TenantRepository(engine).create_tenant(f"t-{number}")
            await _fill(checkpointer, tenant, bench.sizes.moved_checkpoints)
            found = await _one_move(bench, engine, checkpointer, tenant)
            rates.append(found[0])
            ratios.append(found[1])
            worst.append(found[2])
            kept.append(found[3])
        await checkpointer.aclose()
        await engine.dispose()
    report = bench.report
    report.add("moves.rate", "rows/s of a move under 8 writers", "1/s", rates)
    report.add("moves.p99/alone", "p99 of writers while their tenant moves, to before", "x", ratios)
    report.add("moves.worst", "their slowest write", "ms", worst)
    report.add("moves.kept", "acknowledged checkpoints that are there afterwards", "x", kept)


async def _fill(checkpointer: PgCheckpointer, tenant: Tenant, checkpoints: int) -> None:
    scope = Scope(tenant.tenant_id, tenant.placement)

    async def thread(number: int) -> None:
        committed = None
        for pos in range(CHECKPOINTS_A_THREAD):
            write = write_after(None, {"at": pos}, added=[message(pos, CONTENT)])
            if committed is not None:
                write.expected_head, write.thread_no = committed.head, committed.thread_no
            committed = await checkpointer.append(scope, f"old-{number}", write)

    threads = max(1, checkpoints // CHECKPOINTS_A_THREAD)
    for first in range(0, threads, 64):
        await asyncio.gather(*(thread(number) for number in range(first, min(first + 64, threads))))


async def _one_move(
    bench: Bench, engine: AsyncEngine, checkpointer: PgCheckpointer, tenant: Tenant
) -> tuple[float, float, float, float]:
    """Rows a second, ratio of p99s, slowest write in ms, part that was kept."""
    writing = Writing(checkpointer, Scope(tenant.tenant_id, tenant.placement))
    tasks = [asyncio.create_task(writing.run(number)) for number in range(WRITERS)]
    await asyncio.sleep(max(0.2, 2 * bench.sizes.seconds))
    alone = writing.taken()
    operations = OperationRepository(engine)
    operation = await operations.request(tenant, None, actor=SYSTEM)
    runner = OperationRunner(operations, Mover(engine, settle_s=0.1))
    began = time.perf_counter()
    await runner.work_once()
    seconds = time.perf_counter() - began - 0.1
    moving = writing.taken()
    writing.stop.set()
    await asyncio.gather(*tasks)
    done = await operations.get(operation.operation_id)
    assert done is not None
    assert done.state == "done", done
    there = 0
    for name, head in writing.heads.items():
        snapshot = await checkpointer.load(writing.scope, name)
        there += min(head, snapshot.head if snapshot else 0)
    return (
        done.rows_moved / seconds,
        _p99(moving) / _p99(alone),
        1000 * moving[-1],
        there / sum(writing.heads.values()),
    )


def _p99(ascending: list[float]) -> float:
    return ascending[int(0.99 * len(ascending))]
