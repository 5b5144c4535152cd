"""Many partitions: what a statement and its triggers lock does not grow with them."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.queries import located
from agentflow.storage.checkpointer.schema import partition_statements
from agentflow.storage.checkpointer.testing.case import message, write_after

type Connection = asyncpg.Connection[Any]
LEAVES = 40
# Of each of five tables, indexes and sequences included; far less than there are leaves.
MOST_LOCKS = 100
PLANS = {"plan_cache_mode": "force_generic_plan"}  # as the library's own connections


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[Connection]:
    url = migrated_database_url.replace("+asyncpg", "")
    connection = await asyncpg.connect(url, server_settings=PLANS)
    for placement in range(1000, 1000 + LEAVES):
        for statement in partition_statements(placement):
            await connection.execute(statement)
    yield connection
    await connection.close()


async def locks(connection: Connection) -> int:
    count = "SELECT count(DISTINCT relation) FROM pg_locks WHERE pid = pg_backend_pid()"
    found: int = await connection.fetchval(count)
    return found


async def test_deleting_and_counting_touch_one_leaf(owner: Connection, migrated_database_url: str) -> None:
    """A thread's deletion with all below it, and a message whose tokens count."""
    checkpointer = PgCheckpointer(migrated_database_url, None)
    scope = Scope(uuid.uuid4(), 3)
    write = write_after(None, {"a": 1}, added=[message(0, "a")])
    committed = await checkpointer.append(scope, "t", write)
    await checkpointer.aclose()
    usages = json.dumps({"usages": {"prompt_tokens": 7, "completion_tokens": 5}}, separators=(",", ":"))
    async with owner.transaction():
        await owner.execute(
            "INSERT INTO agentflow_messages (thread_no, placement, tenant_id, seq, pos, message_id, role,"
            " content_kind, content, extra) VALUES ($1, 3, $2, 1, 1, 'b', 'assistant', 0, 'b', $3)",
            committed.thread_no, scope.tenant_id, usages,
        )  # fmt: skip
        assert await locks(owner) < MOST_LOCKS
    counted = "SELECT sum(tokens_in), sum(tokens_out) FROM agentflow_usage_events WHERE tenant_id = $1"
    assert tuple(await owner.fetchrow(counted, scope.tenant_id) or ()) == (7, 5)
    async with owner.transaction():
        await owner.execute(located("delete_thread", (3,)), 3, scope.tenant_id, "t", None)
        assert await locks(owner) < MOST_LOCKS
    assert await owner.fetchval("SELECT count(*) FROM agentflow_messages") == 0
    assert await owner.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
