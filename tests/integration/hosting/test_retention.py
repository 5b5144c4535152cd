"""Retention: what goes, what stays since somebody goes on with it, and that a dry run says so before."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.run_status import new_interrupt
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_hosting.retention import BEFORE_ALL, Swept, ThreadKey, Weighed
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import NewRun, RunRecord
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.tenants import NewTenant
from agentflow_worker.retention_sweep import RetentionSweep
from tests.support import databases


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def checkpointer(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(migrated_database_url, None)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def acme(owner: AsyncEngine) -> Tenant:
    """Keeps threads for thirty days."""
    return await TenantRepository(owner).create(NewTenant("acme", retention_days=30), actor=SYSTEM)


@pytest.fixture
def sweep(owner: AsyncEngine) -> RetentionSweep:
    return RetentionSweep(RetentionRepository(owner), rest_share=0)


def scope_of(tenant: Tenant) -> Scope:
    return Scope(tenant.tenant_id, tenant.placement)


async def make(
    checkpointer: PgCheckpointer, tenant: Tenant, *names: str, versions: int = 2, **meta: Any
) -> None:
    """Threads of so many versions, with a message each, and what the latest checkpoint says of its run."""
    for name in names:
        async with checkpointer.session(scope_of(tenant), name) as session:
            for _ in range(versions):
                pos = 0 if session.snapshot is None else session.snapshot.next_pos
                fields = {"execution_meta": {"current_node": "A", "step": 1, **meta}} if meta else {"at": pos}
                await session.append(write_after(session.snapshot, fields, added=[message(pos, "hello")]))


async def age(database: Any, *names: str, days: int = 31) -> None:
    """As if nobody had written them for so long."""
    old = "UPDATE agentflow_threads SET updated_at = now() - $2 * interval '1 day' WHERE thread_id = ANY ($1)"
    await database.execute(old, list(names), days)


async def expire(database: Any, *names: str) -> None:
    past = "UPDATE agentflow_threads SET expires_at = now() - interval '1 second' WHERE thread_id = ANY ($1)"
    await database.execute(past, list(names))


async def left(checkpointer: PgCheckpointer, tenant: Tenant) -> list[str]:
    return sorted(info.thread_id for info in await checkpointer.list_threads(scope_of(tenant)))


async def a_run(owner: AsyncEngine, tenant: Tenant, thread_id: str, *, works: bool) -> RunRecord:
    new = NewRun(tenant.tenant_id, uuid.uuid4(), thread_id, None, "key", "memory", {"messages": []})
    found = await RunRepository(owner, lease_s=30).create(new, holder=uuid.uuid4() if works else None)
    assert found is not None
    return found[0]


async def waits_for_a_lock(owner: AsyncEngine) -> None:
    """Until a backend of this database waits for another one's lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(30):
        while True:
            async with owner.begin() as connection:
                if (await connection.execute(waiting)).scalar_one():
                    return


async def test_each_tenant_has_its_own(
    owner: AsyncEngine, checkpointer: PgCheckpointer, database: Any, acme: Tenant, sweep: RetentionSweep
) -> None:
    """By its days, and by each thread's own time; a tenant without keeps everything else."""
    other = await TenantRepository(owner).create_tenant("other")
    for tenant in (acme, other):
        await make(checkpointer, tenant, "old", "expired", "new")
    await age(database, "old")
    await expire(database, "expired")
    assert await sweep.delete() == Swept(3, 6)
    assert await left(checkpointer, acme) == ["new"]
    assert await left(checkpointer, other) == ["new", "old"]
    assert await sweep.delete() == Swept()
    for table in ("agentflow_checkpoints", "agentflow_messages"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 6


async def test_the_shorter_one_counts(
    owner: AsyncEngine, checkpointer: PgCheckpointer, database: Any, acme: Tenant
) -> None:
    """Of the deployment's and the tenant's."""
    await make(checkpointer, acme, "a", "b")
    await age(database, "a", days=31)
    await age(database, "b", days=8)
    long = RetentionSweep(RetentionRepository(owner, timedelta(days=365)))
    assert (await long.delete()).threads == 1
    short = RetentionSweep(RetentionRepository(owner, timedelta(days=7)))
    assert (await short.delete()).threads == 1


async def test_what_lives_stays(
    owner: AsyncEngine, checkpointer: PgCheckpointer, database: Any, acme: Tenant, sweep: RetentionSweep
) -> None:
    """What a run waits for or works on, what waits for an answer, what runs; whatever its time."""
    asked = {"interrupts": [new_interrupt("A", {"q": '"status":"error"'}).as_data()]}
    for kind, past in (("aged", age), ("expired", expire)):
        await make(checkpointer, acme, f"{kind} pending", f"{kind} working", f"{kind} idle")
        await a_run(owner, acme, f"{kind} pending", works=False)
        await a_run(owner, acme, f"{kind} working", works=True)
        await make(checkpointer, acme, f"{kind} asks", status="interrupted_after", interrupt_data=asked)
        await make(checkpointer, acme, f"{kind} half", status="running", interrupt_data=asked)
        await make(checkpointer, acme, f"{kind} stopped", status="interrupted_after", interrupt_data=None)
        await make(checkpointer, acme, f"{kind} runs", status="running")
        await past(database, *(name for name in await left(checkpointer, acme) if name.startswith(kind)))
    assert (await sweep.delete()).threads == 5
    # A thread that said a month ago that it runs is what a killed process left behind.
    assert await left(checkpointer, acme) == [
        "aged asks", "aged half", "aged pending", "aged working",
        "expired asks", "expired half", "expired pending", "expired runs", "expired working",
    ]  # fmt: skip
    assert await database.fetchval("SELECT count(*) FROM agentflow_runs") == 4


async def test_a_langgraph_interrupt_stays(
    checkpointer: PgCheckpointer, database: Any, acme: Tenant, sweep: RetentionSweep
) -> None:
    """By the writes of the last checkpoint; those of an earlier one were answered."""
    for name in ("waits", "answered"):
        async with checkpointer.session(scope_of(acme), name) as session:
            for version in range(2):
                fields = {"langgraph": {"": {"v": version}}}
                await session.append(write_after(session.snapshot, fields, node=""))
    asks = """
        INSERT INTO agentflow_writes
            (thread_no, placement, idx, tenant_id, checkpoint, task_id, channel, kind, value)
        SELECT c.thread_no, c.placement, 0, c.tenant_id, c.checkpoint_id::text, 't', '__interrupt__', 'j', ''
        FROM agentflow_checkpoints c JOIN agentflow_threads t USING (thread_no, placement, tenant_id)
        WHERE t.thread_id = $1 AND c.seq = $2
    """
    await database.execute(asks, "waits", 2)
    await database.execute(asks, "answered", 1)
    await age(database, "waits", "answered")
    assert (await sweep.delete()).threads == 1
    assert await left(checkpointer, acme) == ["waits"]


async def test_whoever_writes_is_not_disturbed(
    owner: AsyncEngine, checkpointer: PgCheckpointer, database: Any, acme: Tenant
) -> None:
    """What is written between the look and the deletion stays; what is held is left for later."""
    await make(checkpointer, acme, "written", "held", "expires later", "gets a run", "goes")
    await age(database, "written", "held", "gets a run", "goes")
    await expire(database, "expires later")
    repository = RetentionRepository(owner)
    page = await repository.due(acme.placement, BEFORE_ALL, 100)
    assert [key.thread_id for key in page.due] == sorted(await left(checkpointer, acme))
    await make(checkpointer, acme, "written", versions=1)
    await database.execute("UPDATE agentflow_threads SET expires_at = NULL WHERE thread_id = 'expires later'")
    await a_run(owner, acme, "gets a run", works=False)
    async with database.transaction():
        await database.execute("SELECT FROM agentflow_threads WHERE thread_id = 'held' FOR UPDATE")
        assert (await repository.delete(acme.placement, page.due)).threads == 1
    assert await left(checkpointer, acme) == ["expires later", "gets a run", "held", "written"]
    assert await repository.delete(acme.placement, page.due) == Swept(1, 2)


async def test_a_run_that_starts_meanwhile_stays(
    owner: AsyncEngine, checkpointer: PgCheckpointer, database: Any, acme: Tenant, sweep: RetentionSweep
) -> None:
    """Asked for, or at work at once, after it was looked whether there is one: it makes the thread anew."""
    await make(checkpointer, acme, "swept")
    await a_run(owner, acme, "swept", works=True)
    await database.execute(
        "UPDATE agentflow_runs SET status = 'success', finished_at = now(), holder = NULL, held_until = NULL"
    )
    await age(database, "swept")
    held = database.transaction()
    await held.start()
    # Somebody holds a row below the thread, so that the deletion stands still in the middle.
    await database.execute("SELECT FROM agentflow_checkpoints FOR UPDATE")
    sweeping = asyncio.create_task(sweep.delete())
    await waits_for_a_lock(owner)
    new = [await a_run(owner, acme, "swept", works=works) for works in (True, False)]
    await held.commit()
    assert await sweeping == Swept(1, 2)
    assert await left(checkpointer, acme) == []
    runs = await database.fetch("SELECT run_id, status FROM agentflow_runs ORDER BY order_no")
    assert [(row["run_id"], row["status"]) for row in runs] == [
        (new[0].run_id, "running"),
        (new[1].run_id, "pending"),
    ]


async def test_pages_and_batches(
    owner: AsyncEngine, checkpointer: PgCheckpointer, database: Any, acme: Tenant
) -> None:
    """Every thread is looked at once, in the order of the key, whatever the size of the page."""
    names = sorted(f"t{number}" for number in range(25))
    await make(checkpointer, acme, *names, versions=1)
    await age(database, *names[::2])
    repository, after = RetentionRepository(owner), BEFORE_ALL
    seen: list[ThreadKey] = []
    while (page := await repository.due(acme.placement, after, 4)).last is not None:
        seen += page.due
        after = page.last
    assert seen == [ThreadKey(acme.tenant_id, name) for name in names[::2]]
    sweeps = [RetentionSweep(RetentionRepository(owner), rest_share=0) for _ in range(3)]
    swept = await asyncio.gather(*(one.delete() for one in sweeps))
    assert sum(one.threads for one in swept) == 13
    assert await left(checkpointer, acme) == names[1::2]


async def test_versions_that_a_tenant_does_not_keep(
    owner: AsyncEngine, checkpointer: PgCheckpointer, database: Any, acme: Tenant, sweep: RetentionSweep
) -> None:
    """Go from threads that were left alone; the last ones, and the threads of others, stay whole."""
    other = await TenantRepository(owner).create_tenant("other")
    for tenant in (acme, other):
        await make(checkpointer, tenant, "long", "lively", versions=6)
        await make(checkpointer, tenant, "short", versions=2)
    await age(database, "long", "short", days=1)
    changed = await TenantRepository(owner).change(acme, {"keep_checkpoints": 2}, actor=SYSTEM)
    assert changed is not None
    assert changed.keep_checkpoints == 2
    weighed = await RetentionRepository(owner).weigh(
        acme.tenant_id, [acme.placement], retention_days=30, keep_checkpoints=2
    )
    assert weighed == Weighed(threads=3, old_versions=8)
    assert await sweep.forget(checkpointer, timedelta(hours=1)) == 1
    assert await sweep.forget(checkpointer, timedelta(hours=1)) == 0
    versions = [info.seq for info in await checkpointer.history(scope_of(acme), "long")]
    assert sorted(versions) == [5, 6]
    for tenant, name, count in ((acme, "lively", 6), (acme, "short", 2), (other, "long", 6)):
        assert len(await checkpointer.history(scope_of(tenant), name)) == count


async def test_a_dry_run_tells_what_a_sweep_does(
    migrated_database_url: str,
    owner: AsyncEngine,
    checkpointer: PgCheckpointer,
    database: Any,
    acme: Tenant,
    sweep: RetentionSweep,
) -> None:
    """As a login that row level security binds, of one tenant alone; and asking deletes nothing."""
    other = await TenantRepository(owner).create(NewTenant("other", retention_days=1), actor=SYSTEM)
    await make(checkpointer, other, "old")
    await make(checkpointer, acme, "old", "older", "expired", "pending", "new", versions=3)
    asked = {"interrupts": [new_interrupt("A").as_data()]}
    await make(checkpointer, acme, "asks", status="interrupted_before", interrupt_data=asked)
    await a_run(owner, acme, "pending", works=False)
    await age(database, "old", "older", "pending", "asks")
    await expire(database, "expired", "old")
    app = create_async_engine(databases.app_url(migrated_database_url))
    weighing = RetentionRepository(app)
    for page in (1, 2, 1000):
        found = await weighing.weigh(
            acme.tenant_id, (acme.placement, None), retention_days=30, keep_checkpoints=None, page=page
        )
        size = found.size_bytes
        assert found == Weighed(
            threads=6, due=5, expired=2, unchanged=1, kept_running=1, kept_waiting=1,
            checkpoints=9, messages=9, size_bytes=size,
        )  # fmt: skip
        assert size > 0
    nothing = await weighing.weigh(
        acme.tenant_id, [acme.placement], retention_days=None, keep_checkpoints=None
    )
    assert (nothing.due, nothing.expired) == (2, 2)
    await app.dispose()
    assert await sweep.delete() == Swept(4, 11)
    assert await left(checkpointer, acme) == ["asks", "new", "pending"]
