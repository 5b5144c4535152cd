"""A plan that is made once, while the tables are empty, still serves when they are not."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.queries import behind_tenants, located
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import STANDALONE_TENANT, Scope

type Connection = asyncpg.Connection[asyncpg.Record]

THREADS = 2000
# More than any of them reads to answer for three threads of a message each.
FEW = 100
THREE = "0, ARRAY[{tenant}, {tenant}, {tenant}], ARRAY['t-1', 't-2', 't-3'], ARRAY[NULL, NULL, NULL]"
ARGUMENTS = {
    "versions": THREE,
    "load_group": THREE,
    "load": "0, {tenant}, 't-1', NULL, NULL",
    "list_messages": "0, {tenant}, 't-1', NULL, NULL, 0, NULL",
    "get_thread": "0, {tenant}, 't-1', NULL",
    "history": "0, {tenant}, 't-1', NULL, NULL, 10",
}


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    store = PgCheckpointer(database_url, None)
    async with store.session(Scope(), "t-1") as session:
        await session.append(write_after(None, {}, added=[message(0)]))
    await store.aclose()
    opened = await asyncpg.connect(
        database_url.replace("+asyncpg", ""), server_settings={"plan_cache_mode": "force_generic_plan"}
    )
    await opened.execute("DELETE FROM agentflow_threads")
    yield opened
    await opened.close()


@pytest.mark.parametrize("text_of", [located, behind_tenants])
@pytest.mark.parametrize("name", ARGUMENTS)
async def test_what_is_read_does_not_grow_with_the_table(
    connection: Connection, name: str, text_of: Any
) -> None:
    """Look-ups by the whole key: without statistics, and with a plan from when reading it all was cheap."""
    execute = f"EXECUTE s ({ARGUMENTS[name].format(tenant=f"'{STANDALONE_TENANT}'::uuid")})"
    await connection.execute(f"PREPARE s AS {text_of(name, (0,))}")
    await connection.execute(execute)
    await connection.execute(
        "INSERT INTO agentflow_threads"
        " (placement, tenant_id, thread_id, thread_no, head, next_pos, run_id, state)"
        " SELECT 0, $1, 't-' || n, n + 1000, 1, 0, '', '{}' FROM generate_series(1, $2::int) n",
        STANDALONE_TENANT,
        THREADS,
    )
    [row] = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}")
    plan = json.loads(row[0])[0]["Plan"]
    read = sum(_read(node) for node in _nodes(plan))
    assert 0 < read < FEW, json.dumps(plan, indent=1)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _read(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    rows: float = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return rows
