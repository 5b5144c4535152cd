"""Archives stand in a place of their own in the index, under negative numbers; older ones do not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import Scope, Snapshot
from agentflow_embedded import EmbeddedPostgres

type Connection = asyncpg.Connection[asyncpg.Record]

SCOPE = Scope()
NOW = timedelta(0)
HEAD = 35
# As the library before version 5 of the schema kept them.
AS_BEFORE = "UPDATE agentflow_checkpoints SET thread_no = -thread_no WHERE archive IS NOT NULL"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(database_url, None, pool_size=4)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def operator(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


async def extend(store: PgCheckpointer, thread_id: str, by: int) -> None:
    async with store.session(SCOPE, thread_id) as session:
        for _ in range(by):
            head = session.snapshot.head if session.snapshot else 0
            write = write_after(session.snapshot, {"i": head}, added=[message(head)])
            await session.append(write)


async def versions(store: PgCheckpointer, thread_id: str, head: int) -> list[Snapshot]:
    return [await store.load_at(SCOPE, thread_id, seq) for seq in range(1, head + 1)]


async def keys(operator: Connection) -> list[tuple[int, int]]:
    """Thread numbers, as signs, and versions of all rows."""
    rows = await operator.fetch("SELECT sign(thread_no)::int, seq FROM agentflow_checkpoints ORDER BY seq")
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("written_on", [0, 2, 6])
async def test_archives_of_an_older_version_read_and_go_on(
    store: PgCheckpointer, operator: Connection, written_on: int
) -> None:
    """Every version and the history as before; copied, packed again, pruned and deleted with nothing left."""
    await extend(store, "t", HEAD)
    await store.pack_idle(idle_for=NOW)
    assert await keys(operator) == [(-1, HEAD)]
    await operator.execute(AS_BEFORE)
    await extend(store, "t", written_on)
    head = HEAD + written_on
    before, history = await versions(store, "t", head), await store.history(SCOPE, "t", limit=100)
    assert [version.fields["i"] for version in before] == list(range(head))
    assert [info.seq for info in history] == list(range(head, 0, -1))
    assert await store.history(SCOPE, "t", before=20, limit=3) == history[-19:-16]
    await store.copy_thread(SCOPE, "t", "copy")
    copied = await versions(store, "copy", head)
    assert [version.messages for version in copied] == [version.messages for version in before]
    await store.delete_thread(SCOPE, "copy")
    assert await store.pack_idle(idle_for=NOW) == (written_on > 3)
    assert (await keys(operator))[0] == ((-1, head) if written_on > 3 else (1, HEAD))
    assert await versions(store, "t", head) == before
    assert await store.history(SCOPE, "t", limit=100) == history
    assert await store.prune_thread(SCOPE, "t", keep_last=10) == head - 10
    assert await keys(operator) == [(-1, head)]
    assert await store.load_at(SCOPE, "t", head - 5) == before[head - 6]
    await store.delete_thread(SCOPE, "t")
    assert await keys(operator) == []


async def test_a_lost_reply_is_recognised_after_packing(store: PgCheckpointer) -> None:
    """The write that made the head is sent again, while the head is in an archive."""
    await extend(store, "t", HEAD - 1)
    async with store.session(SCOPE, "t") as session:
        write = write_after(session.snapshot, {"last": True})
        first = await session.append(write)
    await store.pack_idle(idle_for=NOW)
    async with store.session(SCOPE, "t") as session:
        assert await session.append(write) == first


async def test_a_thread_goes_with_its_archive_and_what_came_after(
    store: PgCheckpointer, operator: Connection
) -> None:
    """Also when an operator deletes by hand; the neighbour keeps its own."""
    for thread_id in ("t", "neighbour"):
        await extend(store, thread_id, HEAD)
    await store.pack_idle(idle_for=NOW)
    await extend(store, "t", 2)
    await operator.execute("DELETE FROM agentflow_threads WHERE thread_id = 't'")
    assert await keys(operator) == [(-1, HEAD)]
    assert len(await store.history(SCOPE, "neighbour", limit=100)) == HEAD


@pytest.mark.own_server
async def test_the_index_does_not_grow_with_what_was_packed(own_postgres: EmbeddedPostgres) -> None:
    """Generations use the pages of those before; amidst them, archives would take 8 more with each.

    On a server of its own: pages are free once no transaction of a server is older than their deletion.
    """
    store = PgCheckpointer(own_postgres.url, None, pool_size=4)
    await extend(store, "first", 1)
    operator = await asyncpg.connect(own_postgres.url.replace("+asyncpg", ""))
    pages = "pg_relation_size('agentflow_checkpoints_p0_pkey') / current_setting('block_size')::int"
    sizes = []
    for generation in range(10):
        await asyncio.gather(*(extend(store, f"{generation}-{i}", 30) for i in range(40)))
        assert await store.pack_idle(idle_for=NOW) == 40
        await operator.execute("VACUUM agentflow_checkpoints")
        sizes.append(await operator.fetchval(f"SELECT {pages}"))
    await operator.close()
    await store.aclose()
    assert sizes[-1] - sizes[2] < 8, sizes
