"""With a thread go its runs, what they said and what they did: in one transaction, whoever deletes it."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.filters import ThreadFilter
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_hosting.run_repository import RunLostError, RunRepository
from agentflow_hosting.runs import NewRun, RunRecord
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_worker.operation_runner import OperationRunner
from tests.support import databases

TRACE = """
INSERT INTO agentflow_run_traces
    (tenant_id, thread_id, run_id, thread_no, head, status, started_at, finished_at, steps,
     llm_calls, tool_calls, tokens_in, tokens_out, spans, events)
VALUES ($1, $2, 'r', 1, 1, 'completed', now(), now(), 1, 0, 0, 0, 0, '[]', '[]')
"""


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def checkpointer(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(databases.app_url(migrated_database_url), None)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def connection(migrated_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def acme(owner: AsyncEngine) -> Tenant:
    return await TenantRepository(owner).create_tenant("acme")


@pytest.fixture
def runs(owner: AsyncEngine) -> RunRepository:
    return RunRepository(owner, lease_s=30)


async def a_thread(checkpointer: PgCheckpointer, tenant: Tenant, thread_id: str) -> None:
    scope = Scope(tenant.tenant_id, tenant.placement)
    async with checkpointer.session(scope, thread_id) as session:
        await session.append(write_after(None, {"a": 1}, added=[message(0, "hi")], source="input"))


async def a_run(runs: RunRepository, tenant: Tenant, thread_id: str, status: str) -> RunRecord:
    """A run that is pending, or at work with something said, or over."""
    new = NewRun(tenant.tenant_id, uuid.uuid4(), thread_id, None, "key", "memory", {"messages": []})
    found = await runs.create(new, holder=None if status == "pending" else uuid.uuid4())
    assert found is not None
    run = found[0]
    if status != "pending":
        await runs.add_chunks(run, 0, ["{}"])
    if status == "success":
        await runs.end(run, "success")
    return run


async def left(connection: Any, tenant: Tenant) -> dict[str, int]:
    """Rows by thread, or by run, of each table."""
    counts = {}
    for table in ("agentflow_runs", "agentflow_run_chunks", "agentflow_run_traces"):
        statement = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"
        counts[table.removeprefix("agentflow_")] = await connection.fetchval(statement, tenant.tenant_id)
    return counts


@pytest.mark.parametrize("many", [False, True])
async def test_a_deletion(
    checkpointer: PgCheckpointer, runs: RunRepository, acme: Tenant, connection: Any, many: bool
) -> None:
    """Takes runs that are over, wait and work, which are told; those of other threads stay."""
    scope = Scope(acme.tenant_id, acme.placement)
    for thread in ("t", "u"):
        await a_thread(checkpointer, acme, thread)
        await connection.execute(TRACE, acme.tenant_id, thread)
        for status in ("success", "pending"):
            await a_run(runs, acme, thread, status)
    works = await a_run(runs, acme, "t", "running")
    assert await left(connection, acme) == {"runs": 5, "run_chunks": 3, "run_traces": 2}
    # The deletion of the thread alone: whoever dies behind it has left nothing.
    if many:
        assert await checkpointer.delete_threads(scope, ThreadFilter(ids=("t",))) == ["t"]
    else:
        assert await checkpointer.delete_thread(scope, "t")
    assert await left(connection, acme) == {"runs": 2, "run_chunks": 1, "run_traces": 1}
    with pytest.raises(RunLostError):
        await runs.add_chunks(works, 1, ["{}"])


async def test_a_thread_that_expires(
    checkpointer: PgCheckpointer, runs: RunRepository, acme: Tenant, connection: Any
) -> None:
    """Its runs go with it; one that comes in that very moment stays, and makes the thread anew."""
    await a_thread(checkpointer, acme, "t")
    await a_run(runs, acme, "t", "success")
    waits = await a_run(runs, acme, "t", "pending")
    never = await a_run(runs, acme, "not there yet", "pending")
    async with connection.transaction():
        await connection.execute("SET LOCAL agentflow.housekeeping = 'on'")
        await connection.execute("DELETE FROM agentflow_threads WHERE thread_id = 't'")
    assert await left(connection, acme) == {"runs": 2, "run_chunks": 0, "run_traces": 0}
    for run in (waits, never):
        assert await runs.get(acme.tenant_id, run.run_id) is not None


async def test_a_move_is_no_deletion(
    owner: AsyncEngine, checkpointer: PgCheckpointer, runs: RunRepository, acme: Tenant, connection: Any
) -> None:
    """Runs stay where threads change places."""
    await a_thread(checkpointer, acme, "t")
    await a_run(runs, acme, "t", "success")
    operations = OperationRepository(owner)
    operation = await operations.request(acme, None, actor=SYSTEM)
    runner = OperationRunner(operations, Mover(owner, settle_s=0), lease_s=2, poll_s=0.02)
    while await runner.work_once():
        pass
    done = await operations.get(operation.operation_id)
    assert done is not None
    assert (done.state, done.threads_moved) == ("done", 1)
    assert await left(connection, acme) == {"runs": 1, "run_chunks": 1, "run_traces": 0}
