"""Deleted threads are named in the order of their ids, whatever plan the database makes."""

import asyncpg

from agentflow.storage.checkpointer import PgCheckpointer, ThreadFilter
from agentflow.storage.checkpointer.testing.case import Thread, message
from agentflow.storage.checkpointer.types import Scope

IDS = ["a", "b", "c", "d"]


async def test_a_plan_that_goes_by_the_heap_names_them_in_order_too(database_url: str) -> None:
    store = PgCheckpointer(database_url, None)
    scope = Scope()
    for thread_id in reversed(IDS):
        await Thread(store, scope, thread_id).write({}, added=[message(0)])
    await store.aclose()
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        # Many others, which makes it cheapest to hash those that go and to look through the heap for them.
        await connection.execute(
            "INSERT INTO agentflow_threads"
            " (placement, tenant_id, thread_id, thread_no, head, next_pos, run_id, state)"
            " SELECT 0, $1, 't-' || n, n + 1000, 1, 0, '', '{}' FROM generate_series(1, 2000) n",
            scope.tenant_id,
        )
        await connection.execute("ANALYZE agentflow_threads")
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        for setting in ("nestloop", "mergejoin", "indexscan", "bitmapscan"):
            await connection.execute(f"ALTER DATABASE {name} SET enable_{setting} = off")
    finally:
        await connection.close()

    store = PgCheckpointer(database_url, None)
    try:
        assert list(await store.delete_threads(scope, ThreadFilter(ids=IDS))) == IDS
    finally:
        await store.aclose()
