"""What a sweep and an export read does not grow with what is beside it."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import pytest

from agentflow_hosting.queries import QUERIES
from agentflow_tenancy.exports.statements import reading

type Connection = asyncpg.Connection[Any]

PLACEMENT: Final = 1
TENANT: Final = uuid.UUID(int=7)
BESIDE: Final = 3000
# More than any of them reads for three threads with two rows each in every table, by any index.
FEW: Final = 120
# Older servers look up a list of keys by the index only where statistics say that it pays.
LOOKS_UP_LISTS: Final = 17
CHILDREN: Final = ("checkpoints", "messages", "tool_calls", "writes")
LEAVES: Final = [f"agentflow_{table}_p{PLACEMENT}" for table in ("threads", *CHILDREN)]
THREADS = """
INSERT INTO agentflow_threads (placement, tenant_id, thread_id, head, next_pos, run_id, state, updated_at)
SELECT $1::int, $2::uuid, $3 || n, 2, 2, 'r', '{}', now() - interval '31 days'
FROM generate_series(1, $4::int) n
"""
OF_THREADS = " FROM agentflow_threads t, generate_series(1, 2) s WHERE t.tenant_id = $1"
BELOW = [
    """
    INSERT INTO agentflow_checkpoints
        (thread_no, placement, tenant_id, seq, step, is_full, checkpoint_id, source, node, run_id, delta)
    SELECT t.thread_no, t.placement, t.tenant_id, s, s, true, gen_random_uuid(), 'node', 'n', 'r', '{}'
    """,
    """
    INSERT INTO agentflow_messages
        (thread_no, placement, tenant_id, seq, pos, message_id, role, content_kind, content)
    SELECT t.thread_no, t.placement, t.tenant_id, s, s, 'm', 'user', 0, 'x'
    """,
    """
    INSERT INTO agentflow_writes
        (thread_no, placement, idx, tenant_id, checkpoint, task_id, channel, kind, value)
    SELECT t.thread_no, t.placement, s, t.tenant_id, 'c', 't', 'x', 'j', ''
    """,
]
EXPORT = f"'{TENANT}', 'tenant-a:', NULL, NULL"
PART = f"{EXPORT}, 'tenant-a:', 'tenant-a:3'"
EXPORTED = {
    "next_threads": f"{EXPORT}, 'tenant-a:', 3",
    "any_packed": PART,
    "threads": PART,
    "checkpoints": PART,
    "packed_checkpoints": PART,
    "messages": PART,
    "tools": PART,
    "writes": PART,
    "existing": f"'{TENANT}', ARRAY['tenant-a:1', 'tenant-a:2']",
}
WALKED = {
    "due_threads": {"most": 3, "retention_s": 60.0},
    "long_threads_of_tenants": {"most": 3, "idle_s": 60.0},
}


@pytest.fixture
async def connection(migrated_database_url: str) -> AsyncIterator[Connection]:
    """Statistics say that there is nothing, whatever comes later."""
    opened = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    await opened.execute(f"ANALYZE {', '.join(LEAVES)}")
    for leaf in LEAVES:
        await opened.execute(f"ALTER TABLE {leaf} SET (autovacuum_enabled = off)")
    yield opened
    await opened.close()


async def fill(connection: Connection, beside: int = BESIDE) -> None:
    """Three threads, beside many of the same tenant and of another one."""
    for tenant, prefix, threads in (
        (TENANT, "tenant-a:", 3),
        (TENANT, "tenant-b:", beside),
        (uuid.UUID(int=8), "tenant-c:", beside),
    ):
        await connection.execute(THREADS, PLACEMENT, tenant, prefix, threads)
    for tenant in (TENANT, uuid.UUID(int=8)):
        for statement in BELOW:
            await connection.execute(statement + OF_THREADS, tenant)
    if connection.get_server_version().major < LOOKS_UP_LISTS:
        await connection.execute(f"ANALYZE {', '.join(LEAVES)}")


async def planned(connection: Connection, statement: str) -> dict[str, Any]:
    """How a statement was carried out."""
    [row] = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


def rows_read(plan: dict[str, Any]) -> float:
    """Rows that its nodes gave, and those that they threw away."""
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Join Filter", 0)
    own: float = (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    return own + sum(map(rows_read, plan.get("Plans", [])))


async def test_an_export(connection: Connection) -> None:
    """Also with plans from when all was empty."""
    async with connection.transaction():
        await connection.fetch(reading("settings", ()), TENANT)
        for name, arguments in EXPORTED.items():
            await connection.execute(f"PREPARE {name} AS {reading(name, [PLACEMENT])}")
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await connection.execute(f"EXECUTE {name} ({arguments})")
        await fill(connection)
        is_old = connection.get_server_version().major < LOOKS_UP_LISTS
        for mode in ("force_custom_plan",) if is_old else ("force_generic_plan", "force_custom_plan"):
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            for name, arguments in EXPORTED.items():
                plan = await planned(connection, f"EXECUTE {name} ({arguments})")
                assert rows_read(plan) < FEW, f"{name}: {json.dumps(plan, indent=1)}"


async def test_a_walk(connection: Connection) -> None:
    """A page of threads is read by the key."""
    await fill(connection)
    for name, more in WALKED.items():
        statement = str(QUERIES[name])
        nobody = {"tenant_id": f"'{uuid.UUID(int=0)}'", "thread_id": "''"}
        for key, value in {"placement": PLACEMENT, **nobody, **more}.items():
            statement = statement.replace(f":{key}", str(value))
        async with connection.transaction():
            await connection.fetch(str(QUERIES["plan_for_this_placement"]))
            plan = await planned(connection, statement)
        assert 0 < rows_read(plan) < FEW, f"{name}: {json.dumps(plan, indent=1)}"


async def test_a_sweep(connection: Connection) -> None:
    """What is deleted is looked up thread by thread, and so is what is below."""
    sweep = f"""
        SELECT * FROM agentflow_delete_due({PLACEMENT}, array_fill('{TENANT}'::uuid, ARRAY[3]),
                                           ARRAY['tenant-a:1', 'tenant-a:2', 'tenant-a:3'], 60.0)
    """
    # Rows and not pages: pages of the catalogue are read whenever another connection changed it.
    read = """
        SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables
        WHERE relname = ANY($1)
    """
    for beside in (0, BESIDE):
        await fill(connection, beside)
        async with connection.transaction():
            before = await connection.fetchval(read, LEAVES)
            await connection.fetch(sweep)
            assert 0 < await connection.fetchval(read, LEAVES) - before < FEW
        left = "SELECT count(*) FROM agentflow_threads WHERE starts_with(thread_id, 'tenant-a:')"
        assert await connection.fetchval(left) == 0
