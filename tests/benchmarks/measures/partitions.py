"""What the number of partitions costs, and row level security: a put and a get, one after another."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from statistics import median

import asyncpg
from sqlalchemy.engine import make_url

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.schema import partition_statements
from agentflow.storage.checkpointer.testing.case import message, write_after
from tests.benchmarks.bench import Bench
from tests.support import databases

BASE = 8
COUNTS = (1, 100, 1000)
# PostgreSQL decides at the sixth execution of a statement whether it goes on planning each time.
EXECUTIONS = (6, 1000)
MESSAGES = 20
_FIRST_ADDED = 2000


async def measure_partitions(bench: Bench) -> None:
    """The same work in databases with few and many leaves, and as the owner and as the service's login."""
    async with AsyncExitStack() as stack:
        most = bench.sizes.partitions
        urls = {
            count: await stack.enter_async_context(_database(bench, min(count, most)))
            for count in sorted({BASE, *COUNTS})
        }
        await _compare_counts(bench, urls)
        await _compare_executions(bench, urls)
    async with migrated(bench) as url:
        await _compare_roles(bench, url)


async def _compare_counts(bench: Bench, urls: dict[int, str]) -> None:
    puts: dict[int, list[float]] = {count: [] for count in urls}
    gets: dict[int, list[float]] = {count: [] for count in urls}
    checkpointers = {count: _checkpointer(url) for count, url in urls.items()}
    for _ in range(bench.sizes.rounds):
        for count, checkpointer in checkpointers.items():
            put, get = await _put_and_get(checkpointer, Scope(), bench.sizes.threads)
            puts[count].append(put)
            gets[count].append(get)
    for checkpointer in checkpointers.values():
        await checkpointer.aclose()
    for name, times in (("put", puts), ("get", gets)):
        for count, taken in times.items():
            label = f"{name} with {count} partitions, p50"
            bench.report.add(f"partitions.{name}.{count}", label, "us", taken)
            if count != BASE:
                to = f"  to {BASE}"
                bench.report.add_ratio(f"partitions.{name}.{count}/{BASE}", to, taken, times[BASE])


async def _compare_executions(bench: Bench, urls: dict[int, str]) -> None:
    """On new connections: the sixth execution, and those around the thousandth."""
    most = max(urls)
    for nth in EXECUTIONS:
        taken: dict[int, list[float]] = {BASE: [], most: []}
        for _ in range(bench.sizes.rounds):
            for count, times in taken.items():
                times.append(await _nth(urls[count], nth, bench))
        bench.report.add_ratio(
            f"partitions.nth.{nth}/{BASE}",
            f"execution {nth} of a get, {most} partitions",
            taken[most],
            taken[BASE],
        )


async def _nth(url: str, nth: int, bench: Bench) -> float:
    times: list[float] = []
    scope = replace(Scope(), tenant_id=uuid.uuid4())
    for _ in range(9 if nth < 100 else 1):
        checkpointer = PgCheckpointer(url, None, pool_size=1, max_overflow=0, cache_bytes=0)
        await _put(checkpointer, scope, name := uuid.uuid4().hex)
        for i in range(1, nth + (1 if nth < 100 else 10)):
            if i > 20 and i < nth - 10 and bench.sizes.threads < 100:
                continue
            began = time.perf_counter()
            await checkpointer.load(scope, name)
            if abs(i - nth) <= (0 if nth < 100 else 9):
                times.append((time.perf_counter() - began) * 1e6)
        await checkpointer.aclose()
    return median(times)


async def _compare_roles(bench: Bench, url: str) -> None:
    """The owner, whom policies leave alone unless they are forced, and the service's login under them."""
    connection = await _connect(url)
    for table in ("threads", "checkpoints", "messages", "tool_calls", "writes", "placements"):
        await connection.execute(f"ALTER TABLE agentflow_{table} NO FORCE ROW LEVEL SECURITY")
    await connection.close()
    by_role = {"without": url, "with": databases.app_url(url)}
    checkpointers = {name: _checkpointer(of) for name, of in by_role.items()}
    taken: dict[str, dict[str, list[float]]] = {name: {"put": [], "get": []} for name in by_role}
    for _ in range(bench.sizes.rounds):
        for name, checkpointer in checkpointers.items():
            put, get = await _put_and_get(checkpointer, Scope(uuid.uuid4(), 3), bench.sizes.threads)
            taken[name]["put"].append(put)
            taken[name]["get"].append(get)
    for checkpointer in checkpointers.values():
        await checkpointer.aclose()
    for what in ("put", "get"):
        mine, theirs = taken["with"][what], taken["without"][what]
        bench.report.add(f"security.{what}.with", f"{what} under row level security, p50", "us", mine)
        bench.report.add_ratio(f"security.{what}/without", "  to without", mine, theirs)


async def _put_and_get(checkpointer: PgCheckpointer, scope: Scope, times: int) -> tuple[float, float]:
    """Medians in microseconds, of threads of 20 messages."""
    scope = replace(scope, tenant_id=uuid.uuid4())
    names = [uuid.uuid4().hex for _ in range(times)]
    for name in names:
        await _put(checkpointer, scope, name)
    puts: list[float] = []
    gets: list[float] = []
    for name in names:
        began = time.perf_counter()
        snapshot = await checkpointer.load(scope, name)
        gets.append(time.perf_counter() - began)
        write = write_after(snapshot, {"a": "z" * 300}, added=[message(MESSAGES, "q" * 400)])
        began = time.perf_counter()
        await checkpointer.append(scope, name, write)
        puts.append(time.perf_counter() - began)
    return median(puts) * 1e6, median(gets) * 1e6


async def _put(checkpointer: PgCheckpointer, scope: Scope, name: str) -> None:
    added = [message(pos, "y" * 400) for pos in range(MESSAGES)]
    await checkpointer.append(scope, name, write_after(None, {"a": "x" * 300}, added=added))


def _checkpointer(url: str) -> PgCheckpointer:
    return PgCheckpointer(url, None, pool_size=4, max_overflow=0, cache_bytes=0)


@asynccontextmanager
async def _database(bench: Bench, partitions: int) -> AsyncGenerator[str]:
    """A database of the library's own with so many leaves."""
    name = databases.new_name("bench")
    databases.create(bench.database_url, name)
    url = databases.url_of(bench.database_url, name)
    try:
        checkpointer = _checkpointer(url)
        await checkpointer.asetup()
        await checkpointer.aclose()
        await _add(url, range(_FIRST_ADDED, _FIRST_ADDED + partitions - 1))
        yield url
    finally:
        databases.drop(bench.database_url, name)


@asynccontextmanager
async def migrated(bench: Bench) -> AsyncGenerator[str]:
    """A database as the service has it."""
    name = databases.new_name("bench")
    databases.create(bench.database_url, name)
    try:
        await asyncio.to_thread(databases.migrate, databases.url_of(bench.database_url, name))
        yield databases.url_of(bench.database_url, name)
    finally:
        databases.drop(bench.database_url, name)


async def _add(url: str, placements: Sequence[int]) -> None:
    connection = await _connect(url)
    try:
        for placement in placements:
            async with connection.transaction():
                for statement in partition_statements(placement):
                    await connection.execute(statement)
    finally:
        await connection.close()


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    )
