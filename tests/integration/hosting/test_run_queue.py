"""The queue: a run that waits is at work soon, whoever lost its ticket, its worker or its connection."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import resources
from typing import Any

import asyncpg
import pytest
from pgqueuer.adapters.persistence.schema_ddl import render_install
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow_embedded import EmbeddedPostgres
from agentflow_hosting.run_queue import RunQueue
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import NewRun, RunRecord
from agentflow_hosting.tickets import forget_tickets, ticket_queries, ticket_settings
from agentflow_tenancy import Tenant, TenantRepository
from tests.support import databases
from tests.support.run_work import HeldWork

type Serve = Callable[..., AbstractAsyncContextManager[HeldWork]]
type Database = asyncpg.Connection[Any]

# Longer than a test takes: then a ticket was what woke the worker.
NEVER_S = 600.0


@pytest.fixture
async def operator(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def runs(migrated_database_url: str) -> AsyncIterator[RunRepository]:
    engine = create_async_engine(databases.app_url(migrated_database_url))
    yield RunRepository(engine, lease_s=30)
    await engine.dispose()


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
    yield connection
    await connection.close()


@pytest.fixture
async def acme(operator: AsyncEngine) -> Tenant:
    return await TenantRepository(operator).create_tenant(f"t-{uuid.uuid4().hex[:12]}")


def serving(engine: AsyncEngine) -> Serve:
    @asynccontextmanager
    async def serve(
        *, poll_s: float = NEVER_S, at_once: int = 4, ends: bool = False, lease_s: float = 30
    ) -> AsyncIterator[HeldWork]:
        repository = RunRepository(engine, lease_s=lease_s)
        work = HeldWork(repository, at_once=ends)
        stop = asyncio.Event()
        queue = RunQueue(engine, repository, poll_s=poll_s)
        task = asyncio.create_task(queue.serve(work, stop, at_once=at_once, grace_s=0.1))
        try:
            yield work
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await task

    return serve


@pytest.fixture
def serve(operator: AsyncEngine) -> Serve:
    return serving(operator)


async def made(runs: RunRepository, tenant: Tenant, thread: str = "t", **more: Any) -> RunRecord:
    new = NewRun(tenant.tenant_id, uuid.uuid4(), thread, None, "key", "memory", {"messages": []}, **more)
    found = await runs.create(new)
    assert found is not None
    return found[0]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110 - another process' work is looked at
            await asyncio.sleep(0.01)


async def tickets(database: Database) -> int:
    found: int = await database.fetchval("SELECT count(*) FROM agentflow_pgqueuer")
    return found


async def test_a_run_begins_when_it_is_made(
    serve: Serve, runs: RunRepository, acme: Tenant, database: Database
) -> None:
    """Without being looked for; its ticket is gone then."""
    async with serve() as work:
        first = await made(runs, acme)
        begun = await work.begun()
        assert (begun.run_id, begun.status, begun.attempts) == (first.run_id, "running", 1)
        second = await made(runs, acme, "other")
        assert (await work.begun()).run_id == second.run_id
        await until(lambda: no_tickets(database))


async def no_tickets(database: Database) -> bool:
    return await tickets(database) == 0


async def test_runs_made_before_the_worker(serve: Serve, runs: RunRepository, acme: Tenant) -> None:
    """Are carried out when it starts."""
    asked = {(await made(runs, acme, f"t{number}")).run_id for number in range(9)}
    async with serve(ends=True) as work:
        assert {(await work.begun()).run_id for _ in asked} == asked


async def test_neither_without_the_other(runs: RunRepository, acme: Tenant, database: Database) -> None:
    """A run that was not made has no ticket, nor has one that is held; one that was made twice has one."""
    await made(runs, acme, strategy="reject")
    assert await tickets(database) == 1
    new = NewRun(acme.tenant_id, uuid.uuid4(), "t", None, "key", "memory", {}, strategy="reject")
    assert await runs.create(new) is None
    again = NewRun(acme.tenant_id, uuid.uuid4(), "u", None, "key", "memory", {})
    await asyncio.gather(*(runs.create(again) for _ in range(3)))
    assert await tickets(database) == 2
    held = NewRun(acme.tenant_id, uuid.uuid4(), "v", None, "key", "memory", {})
    await runs.create(held, holder=uuid.uuid4())
    assert await tickets(database) == 2


async def test_no_more_than_there_is_room_for(serve: Serve, runs: RunRepository, acme: Tenant) -> None:
    """The next one begins when one ends."""
    async with serve(at_once=2) as work:
        for number in range(6):
            await made(runs, acme, f"t{number}")
        for _ in range(6):
            work.finish(await work.begun())
        assert work.most_at_work <= 2


async def test_a_full_worker_leaves_tickets_to_others(
    serve: Serve, runs: RunRepository, acme: Tenant
) -> None:
    """Who has no room does not hold what another could begin at once."""
    async with serve(at_once=1) as full:
        await made(runs, acme, "a")
        await full.begun()
        async with serve(at_once=1) as other:
            await made(runs, acme, "b")
            await other.begun()
        assert full.is_idle


async def test_many_workers_take_each_run_once(serve: Serve, runs: RunRepository, acme: Tenant) -> None:
    """Whatever the number of workers."""
    async with serve(ends=True) as one, serve(ends=True) as two, serve(ends=True) as three:
        asked = {(await made(runs, acme, f"t{number}")).run_id for number in range(30)}

        async def all_over() -> bool:
            return not await runs.page(acme.tenant_id, status="pending") and not await runs.page(
                acme.tenant_id, status="running"
            )

        await until(all_over)
        found = await runs.page(acme.tenant_id)
        assert {run.run_id for run in found} == asked
        assert {run.attempts for run in found} == {1}
        assert not all(work.is_idle for work in (one, two, three))


async def test_the_next_run_of_a_thread(serve: Serve, runs: RunRepository, acme: Tenant) -> None:
    """Begins when the one before it ends, also when that one was held elsewhere."""
    held = NewRun(acme.tenant_id, uuid.uuid4(), "t", None, "key", "memory", {})
    found = await runs.create(held, holder=uuid.uuid4())
    assert found is not None
    async with serve() as work:
        second = await made(runs, acme)
        other = await made(runs, acme, "other")
        assert (await work.begun()).run_id == other.run_id
        await runs.end(found[0], "success")
        assert (await work.begun()).run_id == second.run_id


async def test_a_run_with_a_delay(serve: Serve, runs: RunRepository, acme: Tenant) -> None:
    """Begins when it may, by its ticket, or as soon as its delay is taken back."""
    async with serve() as work:
        late = await made(runs, acme, "late", after_s=3600)
        soon = await made(runs, acme, "soon", after_s=0.3)
        begun = await work.begun()
        assert begun.run_id == soon.run_id
        assert begun.started_at is not None
        assert (begun.started_at - soon.created_at).total_seconds() >= 0.3
        assert work.is_idle
        await runs.cancel(acme.tenant_id, late.run_id, "interrupt")


async def test_put_back_means_again(serve: Serve, runs: RunRepository, acme: Tenant) -> None:
    """At once where there is room, without being looked for."""
    taken = NewRun(acme.tenant_id, uuid.uuid4(), "t", None, "key", "memory", {})
    found = await runs.create(taken, holder=uuid.uuid4())
    assert found is not None
    async with serve() as work:
        await runs.put_back(found[0])
        assert (await work.begun()).attempts == 2


@pytest.mark.parametrize(
    "lost", ["DELETE FROM agentflow_pgqueuer", "UPDATE agentflow_runs SET held_until = now()"]
)
async def test_lost_tickets_and_holders(
    serve: Serve, runs: RunRepository, acme: Tenant, database: Database, lost: str
) -> None:
    """Who looks now and then finds what nobody was told of."""
    if lost.startswith("DELETE"):
        asked = await made(runs, acme)
    else:
        new = NewRun(acme.tenant_id, uuid.uuid4(), "t", None, "key", "memory", {})
        found = await runs.create(new, holder=uuid.uuid4())
        assert found is not None
        asked = found[0]
    await database.execute(lost)
    async with serve(poll_s=0.05) as work:
        assert (await work.begun()).run_id == asked.run_id


async def test_a_ticket_for_nothing(
    serve: Serve, runs: RunRepository, acme: Tenant, database: Database
) -> None:
    """Ends quietly, and so does one for a run that is gone."""
    asked = await made(runs, acme)
    await runs.cancel(acme.tenant_id, asked.run_id, "interrupt")
    await database.execute(
        "INSERT INTO agentflow_pgqueuer (priority, status, entrypoint) "
        "SELECT 0, 'queued', 'run' FROM generate_series(1, 20)"
    )
    async with serve() as work:
        await until(lambda: no_tickets(database))
        assert work.is_idle


async def test_stopping_puts_back(serve: Serve, runs: RunRepository, acme: Tenant) -> None:
    """What was at work goes on elsewhere."""
    asked = await made(runs, acme)
    async with serve() as work:
        await work.begun()
    left = await runs.get(acme.tenant_id, asked.run_id)
    assert left is not None
    assert left.status == "pending"
    async with serve() as work:
        again = await work.begun()
        assert (again.run_id, again.attempts, again.crashes) == (asked.run_id, 2, 0)


@pytest.mark.leaves_connections
async def test_cut_connections(serve: Serve, runs: RunRepository, acme: Tenant, database: Database) -> None:
    """It connects again by itself, and tickets wake it as before."""
    async with serve() as work:
        await made(runs, acme)
        await work.begun()
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
        )
        await made(runs, acme, "after")
        await work.begun()
        await made(runs, acme, "again")
        await work.begun()


@pytest.mark.slow
@pytest.mark.own_server
async def test_postgres_restarts(own_postgres: EmbeddedPostgres) -> None:
    """Runs of before and after are carried out."""
    await asyncio.to_thread(databases.migrate, own_postgres.url)
    engine = create_async_engine(own_postgres.url, pool_pre_ping=True)
    try:
        tenant = await TenantRepository(engine).create_tenant("acme")
        runs = RunRepository(engine, lease_s=30)
        await made(runs, tenant, "before", after_s=0.5)
        async with serving(engine)(poll_s=0.2) as work:
            await asyncio.to_thread(own_postgres.stop)
            await asyncio.to_thread(own_postgres.start)
            assert (await work.begun()).thread_id == "before"
            await made(runs, tenant, "after")
            assert (await work.begun()).thread_id == "after"
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM agentflow_pgqueuer",
        "UPDATE agentflow_pgqueuer SET priority = 9",
        "DELETE FROM agentflow_pgqueuer",
        "SELECT count(*) FROM agentflow_pgqueuer_log",
        "INSERT INTO agentflow_pgqueuer_schedules (expression, entrypoint) VALUES ('* * * * *', 'x')",
    ],
)
async def test_services_put_tickets_in_and_no_more(migrated_database_url: str, statement: str) -> None:
    """What others wait for is not theirs to see."""
    url = databases.app_url(migrated_database_url).replace("+asyncpg", "", 1)
    connection = await asyncpg.connect(url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_what_the_queue_notes_is_forgotten(
    serve: Serve, operator: AsyncEngine, runs: RunRepository, acme: Tenant, database: Database
) -> None:
    """After a while."""
    async with serve(ends=True) as work:
        await made(runs, acme)
        await work.begun()
        await until(lambda: no_tickets(database))
    assert await database.fetchval("SELECT count(*) FROM agentflow_pgqueuer_log") > 0
    await forget_tickets(operator, older_than_s=3600)
    assert await database.fetchval("SELECT count(*) FROM agentflow_pgqueuer_log") > 0
    await forget_tickets(operator, older_than_s=0)
    assert await database.fetchval("SELECT count(*) FROM agentflow_pgqueuer_log") == 0


async def test_the_tables_are_those_of_the_library(database: Database) -> None:
    """The file says what the locked version would make itself, and there is nothing it would change."""
    file = resources.files("agentflow_hosting.schema").joinpath("0003_pgqueuer.sql").read_text()
    statements = re.sub(r"^--.*\n", "", file, flags=re.MULTILINE)
    wanted = re.sub(r"^-- pgqueuer.*\n", "", render_install(ticket_settings()), flags=re.MULTILINE)
    assert re.sub(r"\n+", "\n", statements).strip() == re.sub(r"\n+", "\n", wanted).strip()
    plan = await ticket_queries(database).plan_upgrade()
    assert plan.statements == ()
