"""Making the schema: by whoever comes first, once; and what holds in it."""

import asyncio
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState
from agentflow.errors import SchemaVersionError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.queries import QUERIES
from agentflow.storage.checkpointer.schema import LATEST_VERSION
from agentflow.utils import END
from tests.support import databases


async def connect(database_url: str) -> "asyncpg.Connection[Any]":
    return await asyncpg.connect(database_url.replace("+asyncpg", ""))


def app_on(checkpointer: PgCheckpointer) -> CompiledGraph[AgentState]:
    graph = StateGraph().add_node("A", lambda state: "ok").set_entry_point("A").add_edge("A", END)
    return graph.compile(checkpointer)


async def test_first_uses_that_meet_at_the_lock(database_url: str) -> None:
    """All looked before any had made it, all wait at one lock: one makes it, the others find it made."""
    holder = await connect(database_url)
    checkpointers = [PgCheckpointer(database_url, redis_url=None) for _ in range(4)]
    async with holder.transaction():
        await holder.execute(QUERIES["schema_lock"])
        setups = [asyncio.create_task(checkpointer.asetup()) for checkpointer in checkpointers]
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        database = "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        while await holder.fetchval(f"{waiting} {database}") < len(setups):  # noqa: ASYNC110 - the server tells
            await asyncio.sleep(0)
    await asyncio.gather(*setups)
    assert await holder.fetchval("SELECT count(*) FROM agentflow_schema") == LATEST_VERSION
    await holder.close()
    for checkpointer in checkpointers:
        await checkpointer.aclose()


async def test_migrations_adopt_a_first_use_and_the_other_way_round(
    database_url: str, redis_url: str
) -> None:
    """A database made by either serves the other, with its threads."""
    app = app_on(PgCheckpointer(database_url, redis_url=redis_url))
    await app.ainvoke({"messages": "before"}, {"thread_id": "t"})
    await app.aclose()
    await asyncio.gather(*(asyncio.to_thread(databases.migrate, database_url) for _ in range(2)))
    app = app_on(PgCheckpointer(database_url, redis_url=redis_url))
    await app.ainvoke({"messages": "after"}, {"thread_id": "t"})
    pooled = {"thread_id": "t", "scope": Scope(placement=8)}
    await app.ainvoke({"messages": "in a pool partition"}, pooled)
    state, other = await app.aget_state({"thread_id": "t"}), await app.aget_state(pooled)
    assert state is not None
    assert other is not None
    assert [message.text() for message in state.context] == ["before", "ok", "after", "ok"]
    assert len(other.context) == 2
    await app.aclose()


async def test_a_newer_schema_is_refused(migrated_database_url: str) -> None:
    """Yesterday's library does not write into tomorrow's tables."""
    connection = await connect(migrated_database_url)
    await connection.execute("INSERT INTO agentflow_schema (version) VALUES (999)")
    await connection.close()
    checkpointer = PgCheckpointer(migrated_database_url, redis_url=None)
    with pytest.raises(SchemaVersionError, match="upgrade"):
        await checkpointer.asetup()
    await checkpointer.aclose()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM agentflow_threads WHERE thread_id LIKE 'tenant-acme:%'",
        "DELETE FROM agentflow_threads_p0 WHERE thread_id LIKE 'tenant-acme:%'",
        "DELETE FROM agentflow_threads WHERE thread_id <> 'tenant-acme-10:t'",
        (
            "UPDATE agentflow_threads SET updated_at = now() - interval '91 days'"
            " WHERE thread_id LIKE 'tenant-acme:%';"
            "DELETE FROM agentflow_threads WHERE updated_at < now() - interval '90 days'"
        ),
    ],
    ids=["prefix", "leaf", "other", "age"],
)
async def test_an_operators_delete_leaves_no_orphan(
    database_url: str, redis_url: str, statement: str
) -> None:
    """Rows below go with their thread, the neighbour's stay, and the cached state is not believed."""
    app = app_on(PgCheckpointer(database_url, redis_url=redis_url))
    ids = [f"tenant-acme:t{i}" for i in range(20)]
    for thread_id in [*ids, "tenant-acme-10:t"]:
        await app.ainvoke({"messages": "hello"}, {"thread_id": thread_id})
    connection = await connect(database_url)
    await connection.execute(statement)
    for table, left in (("threads", 1), ("checkpoints", 2), ("messages", 2)):
        assert await connection.fetchval(f"SELECT count(*) FROM agentflow_{table}") == left, table
    again = await app.ainvoke({"messages": "new"}, {"thread_id": ids[0]}, response_granularity="partial")
    assert again["meta"]["is_new_thread"] is True
    assert [message.text() for message in again["context"]] == ["new", "ok"]
    await connection.execute("TRUNCATE agentflow_threads")
    for table in ("threads", "checkpoints", "messages"):
        assert await connection.fetchval(f"SELECT count(*) FROM agentflow_{table}") == 0, table
    await connection.close()
    await app.aclose()


async def test_a_checkpoint_is_one_statement(database_url: str) -> None:
    """Nothing is begun, set or reset around it: input and three nodes are four statements and one read."""
    graph = StateGraph()
    for name in "ABC":
        graph.add_node(name, lambda state: "ok")
    graph.add_edge("__start__", "A").add_edge("A", "B").add_edge("B", "C").add_edge("C", END)
    engine = create_async_engine(database_url, pool_size=1, max_overflow=0)
    app = graph.compile(PgCheckpointer.from_engine(engine, redis_url=None))
    await app.ainvoke({"messages": "warm"}, {"thread_id": "warm"})
    sent: list[str] = []
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        driver.add_query_logger(lambda query: sent.append(query.query))
    await app.ainvoke({"messages": "counted"}, {"thread_id": "counted"})
    assert [query.split()[0] for query in sent] == ["SELECT", "WITH", "WITH", "WITH", "WITH"]
    await app.aclose()
    await engine.dispose()


async def test_updates_stay_on_their_page(database_url: str) -> None:
    """A checkpoint's update of its thread is HOT: no index is written for it."""
    app = app_on(PgCheckpointer(database_url, redis_url=None))
    for i in range(50):
        await app.ainvoke({"messages": f"hello {i}"}, {"thread_id": "t"})
    await app.aclose()
    connection = await connect(database_url)
    async with asyncio.timeout(60):
        while True:
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            row = await connection.fetchrow(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
                " WHERE relname = 'agentflow_threads_p0'"
            )
            assert row is not None
            if row["n_tup_upd"] >= 99:
                break
            await asyncio.sleep(0.05)
    assert row["n_tup_hot_upd"] >= 0.9 * row["n_tup_upd"]
    await connection.close()
