"""A long history is packed in parts: each version and the history are as before, and one part is read."""

from datetime import timedelta

import asyncpg

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.archive import MOST_IN_A_PART
from agentflow.storage.checkpointer.testing.case import Thread, message, write_after

LENGTH = 2 * MOST_IN_A_PART + 100


async def test_a_long_history_is_packed_in_parts(database_url: str) -> None:
    """Also when it grows on and is packed again."""
    checkpointer = PgCheckpointer(database_url, None)
    thread = Thread(checkpointer)
    await _extend(thread, LENGTH)
    before = {seq: await checkpointer.load_at(thread.scope, thread.id, seq) for seq in range(1, LENGTH, 97)}
    history = await checkpointer.history(thread.scope, thread.id, limit=10_000)
    assert await checkpointer.pack_idle(idle_for=timedelta(0)) == 1
    assert await _rows(database_url) == 3
    for seq, snapshot in before.items():
        assert await checkpointer.load_at(thread.scope, thread.id, seq) == snapshot
    assert await checkpointer.history(thread.scope, thread.id, limit=10_000) == history
    page = await checkpointer.history(thread.scope, thread.id, before=700, limit=300)
    assert [info.seq for info in page] == list(range(699, 399, -1))
    await _extend(thread, 40)
    last = await checkpointer.load_at(thread.scope, thread.id, LENGTH + 20)
    assert await checkpointer.pack_idle(idle_for=timedelta(0)) == 1
    assert await checkpointer.load_at(thread.scope, thread.id, LENGTH + 20) == last
    assert await checkpointer.prune_thread(thread.scope, thread.id, keep_last=700) == LENGTH + 40 - 700
    assert await checkpointer.load_at(thread.scope, thread.id, LENGTH + 20) == last
    await checkpointer.aclose()


async def _extend(thread: Thread, by: int) -> None:
    async with thread.checkpointer.session(thread.scope, thread.id) as session:
        for _ in range(by):
            head = 0 if session.snapshot is None else session.snapshot.head
            added = [message(head, f"m{head}")] if head % 50 == 0 else []
            await session.append(
                write_after(session.snapshot, {"head": head, "half": head // 2}, added=added)
            )


async def _rows(database_url: str) -> int:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        rows: int = await connection.fetchval("SELECT count(*) FROM agentflow_checkpoints")
        return rows
    finally:
        await connection.close()
