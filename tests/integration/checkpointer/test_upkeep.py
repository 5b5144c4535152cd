"""Histories that operators cut, threads that are held: what housekeeping and old versions make of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint

from agentflow.errors import CheckpointNotFoundError, CorruptStateError, InvalidInputError
from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import Scope, Snapshot

type Connection = asyncpg.Connection[asyncpg.Record]

SCOPE = Scope()
HEAD = 40
NOW = timedelta(0)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(database_url, None)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def operator(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


async def fill(store: PgCheckpointer, thread_id: str, head: int = HEAD) -> dict[int, Snapshot]:
    """A thread, and every version of it."""
    async with store.session(SCOPE, thread_id) as session:
        for i in range(head):
            fields = {**(session.snapshot.fields if session.snapshot else {}), "i": i, f"k{i % 7}": i}
            await session.append(write_after(session.snapshot, fields, added=[message(i)]))
    return {seq: await store.load_at(SCOPE, thread_id, seq) for seq in range(1, head + 1)}


async def unpacked(operator: Connection) -> dict[str, int]:
    rows = await operator.fetch(
        "SELECT thread_id, count(*) FROM agentflow_threads JOIN agentflow_checkpoints c USING (thread_no) "
        "WHERE c.archive IS NULL GROUP BY 1"
    )
    return {row["thread_id"]: row["count"] for row in rows}


@pytest.mark.parametrize("packed", ["never", "before", "after"])
@pytest.mark.parametrize("gone", ["seq = 1", "seq <= 33", "seq = 5", "seq BETWEEN 3 AND 6", "seq = 40"])
async def test_a_version_is_exact_or_refused(
    store: PgCheckpointer, operator: Connection, gone: str, packed: str
) -> None:
    """Never made from what is left of the rows it builds on; packing and pruning renumber nothing."""
    versions = await fill(store, "t")
    if packed == "before":
        await store.pack_idle(idle_for=NOW)
    await operator.execute(f"DELETE FROM agentflow_checkpoints WHERE {gone}")
    if packed == "after":
        await store.pack_idle(idle_for=NOW)
    exact = 0
    for seq, version in versions.items():
        try:
            assert await store.load_at(SCOPE, "t", seq) == version
            exact += 1
        except (CheckpointNotFoundError, CorruptStateError):
            continue
    assert exact >= {"seq = 1": 8, "seq <= 33": 0, "seq = 40": 39}.get(gone, 10) or packed == "before"
    async with store.session(SCOPE, "t") as session:
        assert (await session.append(write_after(session.snapshot, {"new": 1}))).head == HEAD + 1
    for keep_last in (5, 2, 1):
        try:
            await store.prune_thread(SCOPE, "t", keep_last=keep_last)
        except CorruptStateError:
            continue
    latest = await store.load(SCOPE, "t")
    assert latest is not None
    assert (latest.fields, len(latest.messages)) == ({"new": 1}, HEAD)


async def test_one_thread_holds_up_no_other(store: PgCheckpointer, operator: Connection) -> None:
    """Neither one that is held, nor one that cannot be read: each is looked at once and left."""
    for name in ("a", "broken", "c", "held", "z"):
        await fill(store, name, head=8)
    of = "thread_no = (SELECT thread_no FROM agentflow_threads WHERE thread_id = 'broken')"
    await operator.execute(f"UPDATE agentflow_checkpoints SET delta = 'x' WHERE seq = 1 AND {of}")
    await operator.execute(f"DELETE FROM agentflow_checkpoints WHERE seq = 4 AND {of}")
    async with asyncio.timeout(60), operator.transaction():
        await operator.execute("SELECT FROM agentflow_threads WHERE thread_id = 'held' FOR UPDATE")
        assert await store.pack_idle(idle_for=NOW, batch_size=2) == 3
    assert await unpacked(operator) == {"broken": 7, "held": 8}
    assert await store.prune(keep_last=2, idle_for=NOW, batch_size=2) == 4
    assert await unpacked(operator) == {"broken": 7}


async def test_a_graphs_thread_is_its_savers_to_prune(store: PgCheckpointer) -> None:
    """Its checkpoints are looked up by id: packed into one row nobody would find them."""
    saver = AgentFlowSaver(store)
    config: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for step in range(3):
        checkpoint = empty_checkpoint()
        config = await saver.aput(config, checkpoint, {"source": "loop", "step": step}, {})
    with pytest.raises(InvalidInputError, match="saver"):
        await store.prune_thread(SCOPE, "t", keep_last=1)
    await store.prune(keep_last=1, idle_for=NOW)
    assert len([found async for found in saver.alist({"configurable": {"thread_id": "t"}})]) == 3
