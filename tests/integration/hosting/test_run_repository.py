"""Runs as records: made once, taken fairly, held by one, over once."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow_hosting.run_repository import RunLostError, RunRepository
from agentflow_hosting.runs import NewRun, RunRecord
from agentflow_tenancy import Tenant, TenantRepository
from tests.support.databases import app_url


@pytest.fixture
async def operator(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def engine(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(app_url(migrated_database_url))
    yield engine
    await engine.dispose()


@pytest.fixture
def runs(engine: AsyncEngine) -> RunRepository:
    return RunRepository(engine, lease_s=30)


@pytest.fixture
def queue(operator: AsyncEngine) -> RunRepository:
    return RunRepository(operator, lease_s=30)


@pytest.fixture
async def acme(operator: AsyncEngine) -> Tenant:
    return await a_tenant(operator)


async def a_tenant(operator: AsyncEngine) -> Tenant:
    return await TenantRepository(operator).create_tenant(f"t-{uuid.uuid4().hex[:12]}")


def new(tenant: Tenant, thread: str = "t", **more: Any) -> NewRun:
    return NewRun(tenant.tenant_id, uuid.uuid4(), thread, None, "key", "memory", {"messages": []}, **more)


async def made(runs: RunRepository, run: NewRun) -> RunRecord:
    found = await runs.create(run)
    assert found is not None
    return found[0]


async def test_a_run_from_its_making_to_its_end(
    runs: RunRepository, queue: RunRepository, acme: Tenant
) -> None:
    """Pending, running, over; what it said is kept in order; once over it stays so."""
    asked = await made(runs, new(acme, metadata={"a": ["b"]}))
    assert (asked.status, asked.attempts, asked.metadata) == ("pending", 0, {"a": ["b"]})

    holder = uuid.uuid4()
    taken = await queue.take(holder)
    assert taken is not None
    assert (taken.run_id, taken.status, taken.attempts, taken.holder) == (asked.run_id, "running", 1, holder)
    assert await queue.take(uuid.uuid4()) is None

    assert await runs.add_chunks(taken, 0, ['{"seq":0}', '{"seq":1}']) is None
    assert await runs.add_chunks(taken, 2, ['{"seq":2}']) is None
    ended = await runs.end(taken, "success")
    assert ended is not None
    assert (ended.status, ended.chunks, ended.is_over) == ("success", 3, True)
    assert [chunk.seq for chunk in await runs.chunks(acme.tenant_id, asked.run_id, after=0)] == [1, 2]
    assert await runs.end(taken, "error", {"code": "LATE"}) is None
    with pytest.raises(RunLostError):
        await runs.add_chunks(taken, 3, ["{}"])
    assert await runs.cancel(acme.tenant_id, asked.run_id, "interrupt") is None


async def test_made_twice_is_made_once(runs: RunRepository, acme: Tenant) -> None:
    """The same id gives the run that is there."""
    wanted = new(acme)
    first, again = await asyncio.gather(runs.create(wanted), runs.create(wanted))
    assert first is not None
    assert again is not None
    assert first[0].run_id == again[0].run_id
    assert sorted([first[1], again[1]]) == [False, True]


async def test_a_lost_holder_writes_nothing(runs: RunRepository, operator: AsyncEngine, acme: Tenant) -> None:
    """Whoever was silent for longer than the lease shows as waiting, is replaced, and adds nothing more."""
    hasty = RunRepository(operator, lease_s=0)
    asked = await made(runs, new(acme))
    first = await hasty.take(uuid.uuid4())
    assert first is not None
    seen = await runs.get(acme.tenant_id, asked.run_id)
    assert seen is not None
    assert seen.status == "pending"
    second = await RunRepository(operator, lease_s=30).take(uuid.uuid4())
    assert second is not None
    assert (second.run_id, second.attempts) == (asked.run_id, 2)
    for late in (runs.hold(first), runs.add_chunks(first, 0, ["{}"])):
        with pytest.raises(RunLostError):
            await late
    assert await runs.end(first, "success") is None
    assert await runs.put_back(first) is None
    assert await runs.chunks(acme.tenant_id, asked.run_id) == []


async def test_chunks_have_no_gaps(runs: RunRepository, queue: RunRepository, acme: Tenant) -> None:
    """A chunk that is not the next one is refused."""
    await made(runs, new(acme))
    taken = await queue.take(uuid.uuid4())
    assert taken is not None
    with pytest.raises(RunLostError):
        await runs.add_chunks(taken, 1, ["{}"])
    await runs.add_chunks(taken, 0, ["{}", "{}"])
    with pytest.raises(RunLostError):
        await runs.add_chunks(taken, 1, ["{}", "{}"])
    # Whose reply was lost says it again: it is there once.
    await runs.add_chunks(taken, 0, ["{}", "{}"])
    assert [chunk.seq for chunk in await runs.chunks(acme.tenant_id, taken.run_id)] == [0, 1]


async def test_tenants_take_turns(
    runs: RunRepository, queue: RunRepository, operator: AsyncEngine, acme: Tenant
) -> None:
    """One tenant's hundred runs do not stand before another's one."""
    for number in range(20):
        await made(runs, new(acme, f"t{number}"))
    small = await a_tenant(operator)
    await made(runs, new(small))
    taken = [await queue.take(uuid.uuid4()) for _ in range(3)]
    assert small.tenant_id in [run.tenant_id for run in taken if run is not None]


async def test_a_thread_runs_in_order(runs: RunRepository, queue: RunRepository, acme: Tenant) -> None:
    """The next run of a thread waits for the one before it; other threads do not."""
    first, second = await made(runs, new(acme)), await made(runs, new(acme))
    other = await made(runs, new(acme, "other"))
    taken = [await queue.take(uuid.uuid4()) for _ in range(3)]
    assert [run and run.run_id for run in taken] == [first.run_id, other.run_id, None]
    assert taken[0] is not None
    await runs.end(taken[0], "success")
    after = await queue.take(uuid.uuid4())
    assert after is not None
    assert after.run_id == second.run_id


async def test_a_delay_is_kept(runs: RunRepository, queue: RunRepository, acme: Tenant) -> None:
    """A run that shall begin later is not taken, and stands before nobody."""
    await made(runs, new(acme, after_s=3600))
    assert await queue.take(uuid.uuid4()) is None
    wait_s = await queue.next_in_s()
    assert wait_s is not None
    assert 3000 < wait_s <= 3600
    now = await made(runs, new(acme))
    taken = await queue.take(uuid.uuid4())
    assert taken is not None
    assert taken.run_id == now.run_id


async def test_many_takers_take_each_run_once(
    runs: RunRepository, queue: RunRepository, acme: Tenant
) -> None:
    """Whatever the number of takers."""
    asked = {(await made(runs, new(acme, f"t{number}"))).run_id for number in range(12)}
    taken: list[uuid.UUID] = []

    async def take() -> None:
        misses = 0
        while misses < 5:
            run = await queue.take(uuid.uuid4())
            if run is None:
                misses += 1
            else:
                taken.append(run.run_id)

    await asyncio.gather(*(take() for _ in range(4)))
    assert sorted(taken) == sorted(asked)


async def test_alone_or_not_at_all(runs: RunRepository, acme: Tenant) -> None:
    """Of many that each want to be alone on a thread, one is made."""
    found = await asyncio.gather(*(runs.create(new(acme, strategy="reject")) for _ in range(6)))
    assert sum(run is not None for run in found) == 1


async def test_cancelling(runs: RunRepository, queue: RunRepository, acme: Tenant) -> None:
    """A run that waits is over at once; whoever works on one is told with its next word."""
    waiting = await made(runs, new(acme))
    cancelled = await runs.cancel(acme.tenant_id, waiting.run_id, "interrupt")
    assert cancelled is not None
    assert (cancelled.status, cancelled.is_over) == ("cancelled", True)
    await made(runs, new(acme))
    taken = await queue.take(uuid.uuid4())
    assert taken is not None
    asked = await runs.cancel(acme.tenant_id, taken.run_id, "rollback")
    assert asked is not None
    assert asked.status == "running"
    assert await runs.hold(taken) == "rollback"
    assert await runs.add_chunks(taken, 0, ["{}"]) == "rollback"


async def test_other_tenants_see_nothing(runs: RunRepository, operator: AsyncEngine, acme: Tenant) -> None:
    """Also where a statement forgot to ask for the tenant."""
    other = await a_tenant(operator)
    asked = await made(runs, new(acme))
    assert await runs.get(other.tenant_id, asked.run_id) is None
    assert await runs.page(other.tenant_id) == []
    assert await runs.take(uuid.uuid4()) is None  # by a login that sees the tenants it names, and names none


async def test_pages(runs: RunRepository, acme: Tenant) -> None:
    """Newest first, by thread, user and status."""
    asked = [await made(runs, new(acme, f"t{number % 2}")) for number in range(5)]
    page = await runs.page(acme.tenant_id, limit=2)
    assert [run.run_id for run in page] == [asked[4].run_id, asked[3].run_id]
    rest = await runs.page(acme.tenant_id, before=page[-1].order_no)
    assert [run.run_id for run in rest] == [run.run_id for run in reversed(asked[:3])]
    assert len(await runs.page(acme.tenant_id, thread_id="t1")) == 2
    assert await runs.page(acme.tenant_id, user_id="somebody") == []
    assert len(await runs.page(acme.tenant_id, status="pending")) == 5


async def test_forgetting(runs: RunRepository, queue: RunRepository, acme: Tenant) -> None:
    """First what a run said, later the run; never one that is not over."""
    asked = await made(runs, new(acme))
    taken = await queue.take(uuid.uuid4())
    assert taken is not None
    await runs.add_chunks(taken, 0, ["{}"])
    assert await queue.forget_old(chunks_after_s=0, runs_after_s=0) == 0
    await runs.end(taken, "success")
    assert await queue.forget_old(chunks_after_s=0, runs_after_s=3600) == 1
    seen = await runs.get(acme.tenant_id, asked.run_id)
    assert seen is not None
    assert seen.chunks == 1
    assert await runs.chunks(acme.tenant_id, asked.run_id) == []
    assert await queue.forget_old(chunks_after_s=0, runs_after_s=0) == 1
    assert await runs.get(acme.tenant_id, asked.run_id) is None


@pytest.mark.parametrize(
    "change",
    [
        "status = 'running'",
        "status = 'success'",
        "status = 'paused'",
        "status = 'error', attempts = 1, started_at = now(), finished_at = now()",
        "finished_at = now()",
        "cancel = 'maybe'",
        "chunks = -1",
    ],
)
async def test_the_schema_keeps_the_states_whole(
    migrated_database_url: str, runs: RunRepository, acme: Tenant, change: str
) -> None:
    """A row that says two things at once is refused, whoever writes it."""
    await made(runs, new(acme))
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(f"UPDATE agentflow_runs SET {change}")
    finally:
        await connection.close()


async def test_the_schema_keeps_what_is_over(
    migrated_database_url: str, runs: RunRepository, acme: Tenant
) -> None:
    """A run that ended does not begin again."""
    asked = await made(runs, new(acme))
    await runs.cancel(acme.tenant_id, asked.run_id, "interrupt")
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE agentflow_runs SET status = 'pending', finished_at = NULL")
    finally:
        await connection.close()


async def test_a_page_of_chunks_is_bounded(runs: RunRepository, queue: RunRepository, acme: Tenant) -> None:
    """By number and by size, whichever comes first; one that is larger comes alone."""
    await made(runs, new(acme))
    taken = await queue.take(uuid.uuid4())
    assert taken is not None
    bodies = ["x" * 100, "y" * 100, "z" * 5000, "é" * 60, "w"]
    await runs.add_chunks(taken, 0, bodies)

    async def page(after: int, **limits: int) -> list[int]:
        found = await runs.chunks(acme.tenant_id, taken.run_id, after=after, **limits)
        assert [chunk.body for chunk in found] == [bodies[chunk.seq] for chunk in found]
        return [chunk.seq for chunk in found]

    assert await page(-1, most_bytes=150) == [0, 1]
    assert await page(-1, limit=1, most_bytes=150) == [0]
    assert await page(1, most_bytes=150) == [2]
    assert await page(2, most_bytes=120) == [3]
    assert await page(2) == [3, 4]
    assert await page(4) == []


async def test_pages_of_a_status(
    runs: RunRepository, queue: RunRepository, operator: AsyncEngine, acme: Tenant
) -> None:
    """As each is shown: one whose holder is gone waits, one that is over is not among the open ones."""
    hasty = RunRepository(operator, lease_s=0.001)
    for name in ("over", "held", "lost", "waits"):
        await made(runs, new(acme, name))
    over, held = await queue.take(uuid.uuid4()), await queue.take(uuid.uuid4())
    assert over is not None
    assert held is not None
    assert await hasty.take(uuid.uuid4()) is not None
    await runs.end(over, "success")

    async def threads(status: Any) -> list[str]:
        return [run.thread_id for run in await runs.page(acme.tenant_id, status=status)]

    assert await threads("success") == ["over"]
    assert await threads("running") == ["held"]
    assert await threads("pending") == ["waits", "lost"]
    assert await threads("error") == []
    assert len(await runs.page(acme.tenant_id, status="pending", limit=1)) == 1
