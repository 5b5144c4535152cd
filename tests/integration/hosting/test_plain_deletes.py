"""What an operator types: plain deletes leave no orphan in any table, by the catalogue."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import ToolIntent, ToolStarts
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import NewRun
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_worker.operation_runner import OperationRunner

# As the guide has them.
OLD = "DELETE FROM agentflow_threads WHERE updated_at < now() - interval '90 days'"
OF_TENANT = "DELETE FROM agentflow_threads WHERE thread_id LIKE 'tenant-acme:%'"
# Rows that name a thread or a run by these are below it.
NAMES = ("thread_no", "thread_id", "run_id")
TABLES_OF_THREADS = {
    "agentflow_threads", "agentflow_checkpoints", "agentflow_messages", "agentflow_tool_calls",
    "agentflow_writes", "agentflow_runs", "agentflow_run_chunks", "agentflow_run_traces",
}  # fmt: skip
WRITE = """
INSERT INTO agentflow_writes
    (thread_no, placement, idx, tenant_id, checkpoint, task_id, channel, kind, value)
SELECT thread_no, placement, 0, tenant_id, 'c', 't', 'x', 'json', ''
FROM agentflow_threads WHERE tenant_id = $1
"""
TRACE = """
INSERT INTO agentflow_run_traces
    (tenant_id, thread_id, run_id, thread_no, head, status, started_at, finished_at, steps,
     llm_calls, tool_calls, tokens_in, tokens_out, spans, events)
SELECT tenant_id, thread_id, 'r', thread_no, 1, 'completed', now(), now(), 1, 0, 0, 0, 0, '[]', '[]'
FROM agentflow_threads WHERE tenant_id = $1
"""


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def checkpointer(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(migrated_database_url, None)
    yield checkpointer
    await checkpointer.aclose()


async def fill(checkpointer: PgCheckpointer, owner: AsyncEngine, database: Any, tenant: Tenant) -> None:
    """Threads with something in every table there is below them; every version of one is packed."""
    scope, runs = Scope(tenant.tenant_id, tenant.placement), RunRepository(owner, lease_s=30)
    for name in ("old", "packed", "new"):
        stored = f"tenant-{tenant.slug}:{name}"
        async with checkpointer.session(scope, stored) as session:
            for pos in range(6):
                await session.append(
                    write_after(session.snapshot, {"at": pos}, added=[message(pos, "hello")])
                )
            assert session.snapshot is not None
            intent = ToolIntent(uuid.uuid4(), "call", "tool", "A")
            head, number = session.snapshot.head, session.snapshot.thread_no
            await session.start_tools(ToolStarts(head, number, "r", [intent]))
        for holder in (None, uuid.uuid4()):
            new = NewRun(tenant.tenant_id, uuid.uuid4(), stored, None, "key", "memory", {"messages": []})
            made = await runs.create(new, holder=holder)
            assert made is not None
            if holder is not None:
                await runs.add_chunks(made[0], 0, ["{}"])
    await database.execute(WRITE, tenant.tenant_id)
    await database.execute(TRACE, tenant.tenant_id)


async def tables(database: Any) -> dict[str, set[str]]:
    """Tables with rows below threads or runs, with the columns that say of which; from the catalogue."""
    rows = await database.fetch(
        """
        SELECT c.relname, array_agg(a.attname::text) AS columns
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY ($1)
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND starts_with(c.relname, 'agentflow_')
        GROUP BY c.relname
        """,
        list(NAMES),
    )
    return {row["relname"]: set(row["columns"]) for row in rows}


async def orphans(database: Any) -> dict[str, int]:
    """Rows below a thread that is gone, in every table of the catalogue, also in their leaves."""
    lives = "SELECT FROM agentflow_threads t WHERE t.tenant_id = x.tenant_id"
    runs = "SELECT FROM agentflow_runs r WHERE r.tenant_id = x.tenant_id"
    found = {}
    for table, columns in (await tables(database)).items():
        if table == "agentflow_threads":
            continue
        if "thread_no" in columns:
            gone = f"{lives} AND t.thread_no = abs(x.thread_no)"
        elif "thread_id" in columns:
            gone = f"{lives} AND t.thread_id = x.thread_id"
        else:
            gone = f"{runs} AND r.run_id::text = x.run_id::text"
        found[table] = await database.fetchval(f"SELECT count(*) FROM {table} x WHERE NOT EXISTS ({gone})")
    return {table: count for table, count in found.items() if count}


async def rows_of(database: Any, tenant: Tenant) -> dict[str, tuple[int, str]]:
    """How many rows a tenant has in each table, and what they say."""
    found = {}
    for table in await tables(database):
        row = await database.fetchrow(
            "SELECT count(*) AS rows, md5(coalesce(string_agg(x::text, '|' ORDER BY x::text), '')) AS content"
            f" FROM {table} x WHERE tenant_id = $1",
            tenant.tenant_id,
        )
        found[table] = (row["rows"], row["content"])
    return found


@pytest.mark.parametrize("own_partition", [False, True])
async def test_no_orphan_is_left(
    checkpointer: PgCheckpointer, owner: AsyncEngine, database: Any, own_partition: bool
) -> None:
    """By time and by tenant, in the pool and in its own partition; the neighbour is byte-identical."""
    repository = TenantRepository(owner)
    acme, neighbour = [await repository.create_tenant(slug) for slug in ("acme", "acme-2")]
    for tenant in (acme, neighbour):
        await fill(checkpointer, owner, database, tenant)
    if own_partition:
        operations = OperationRepository(owner)
        await operations.request(acme, None, actor=SYSTEM)
        runner = OperationRunner(operations, Mover(owner, settle_s=0), lease_s=5, poll_s=0.02)
        while await runner.work_once():
            pass
    aged = "UPDATE agentflow_threads SET updated_at = now() - interval '91 days' WHERE thread_id LIKE $1"
    await database.execute(aged, "tenant-acme:packed")
    assert await checkpointer.pack_idle() == 1
    await database.execute(aged, "tenant-acme:%old")
    before, mine = await rows_of(database, neighbour), await rows_of(database, acme)
    assert before.keys() >= TABLES_OF_THREADS
    filled = {table for table, (rows, _) in mine.items() if rows}
    assert filled >= TABLES_OF_THREADS
    assert await orphans(database) == {}
    assert await database.execute(OLD) == "DELETE 2"
    assert await orphans(database) == {}
    assert (await rows_of(database, acme))["agentflow_runs"][0] == 2
    assert await database.execute(OF_TENANT) == "DELETE 1"
    assert await orphans(database) == {}
    assert {rows for rows, _ in (await rows_of(database, acme)).values()} == {0}
    assert await rows_of(database, neighbour) == before
