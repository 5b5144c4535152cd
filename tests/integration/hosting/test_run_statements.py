"""Statements that say themselves whose rows they want: under any plan, and of rows that are there alone."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow_hosting.run_repository import RunLostError, RunRepository
from agentflow_hosting.runs import NewRun, RunRecord
from agentflow_tenancy import Tenant, TenantRepository
from tests.support.databases import app_url
from tests.support.plans import PLANS


@pytest.fixture
async def acme(migrated_database_url: str) -> AsyncIterator[Tenant]:
    engine = create_async_engine(migrated_database_url)
    yield await TenantRepository(engine).create_tenant(f"t-{uuid.uuid4().hex[:12]}")
    await engine.dispose()


async def held(runs: RunRepository, tenant: Tenant) -> RunRecord:
    new = NewRun(tenant.tenant_id, uuid.uuid4(), "t", None, "key", "memory", {"messages": []}, kind="stream")
    found = await runs.create(new, holder=uuid.uuid4())
    assert found is not None
    return found[0]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: ",".join(plan) or "as it is")
async def test_the_tenant_is_set_first_in_every_plan(
    migrated_database_url: str, acme: Tenant, plan: dict[str, str]
) -> None:
    """However the planner joins, rows are looked at after the tenant is set: all is found and written."""
    engine = create_async_engine(app_url(migrated_database_url), connect_args={"server_settings": plan})
    try:
        runs = RunRepository(engine, lease_s=30)
        run = await held(runs, acme)
        assert await runs.add_chunks(run, 0, ["{}", "{}"]) is None
        assert await runs.add_chunks(run, 0, ["{}", "{}"]) is None  # said again
        with pytest.raises(RunLostError):
            await runs.add_chunks(run, 5, ["{}"])
        assert len(await runs.chunks(acme.tenant_id, run.run_id)) == 2
        found = await runs.get(acme.tenant_id, run.run_id)
        assert found is not None
        assert (found.chunks, found.status, found.thread_id) == (2, "running", "t")
        assert [one.run_id for one in await runs.page(acme.tenant_id)] == [run.run_id]
        assert await runs.end(run, "success") is not None
    finally:
        await engine.dispose()


async def test_what_was_forgotten_is_not_made_again(migrated_database_url: str, acme: Tenant) -> None:
    """Chunks that meet the deletion of their run are refused, and leave no row behind."""
    engine = create_async_engine(app_url(migrated_database_url))
    try:
        runs = RunRepository(engine, lease_s=30)
        for _ in range(20):
            run = await held(runs, acme)
            said, _ = await asyncio.gather(
                runs.add_chunks(run, 0, ["{}"]),
                _deleted(migrated_database_url, run.run_id),
                return_exceptions=True,
            )
            assert said is None or isinstance(said, RunLostError)
            assert await runs.get(acme.tenant_id, run.run_id) is None
        assert await runs.page(acme.tenant_id) == []
    finally:
        await engine.dispose()


async def _deleted(database_url: str, run_id: uuid.UUID) -> None:
    """As with its thread."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        await connection.execute("DELETE FROM agentflow_runs WHERE run_id = $1", run_id)
    finally:
        await connection.close()


async def test_no_other_tenants_rows_are_seen(engine_of_app: AsyncEngine, acme: Tenant) -> None:
    """What one statement was shown, the next one on the same connection is not."""
    runs = RunRepository(engine_of_app, lease_s=30)
    run = await held(runs, acme)
    assert await runs.get(uuid.uuid4(), run.run_id) is None
    assert await runs.take(uuid.uuid4()) is None
    assert (await runs.next_in_s()) is None


@pytest.fixture
async def engine_of_app(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(app_url(migrated_database_url), pool_size=1, max_overflow=0)
    yield engine
    await engine.dispose()
