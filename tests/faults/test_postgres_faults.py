"""Postgres cut, killed and away: nothing acknowledged is lost, nothing has two effects."""

import asyncio
import time

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import Thread, message, new_scope, write_after
from agentflow_embedded import EmbeddedPostgres
from tests.support.wire_proxy import WireProxy

CUTS = 100


async def test_cut_answers_have_one_effect(database_url: str) -> None:
    """The commit happened and the reply was lost, again and again: one version, one message each."""
    async with WireProxy(database_url) as proxy:
        engine = create_async_engine(proxy.url, pool_size=2, max_overflow=0)
        checkpointer = PgCheckpointer.from_engine(engine, redis_url=None)
        await checkpointer.asetup()
        thread = Thread(checkpointer)
        async with checkpointer.session(thread.scope, thread.id) as session:
            for i in range(CUTS):
                proxy.cut_answers = 1
                write = write_after(session.snapshot, {"i": i}, added=[message(i, str(i))])
                assert (await session.append(write)).head == i + 1
        assert proxy.cuts == CUTS
        snapshot = await thread.load()
        assert [row.content for row in snapshot.messages] == [str(i) for i in range(CUTS)]
        entries = await checkpointer.history(thread.scope, thread.id)
        assert [entry.seq for entry in entries] == list(range(CUTS, 0, -1))
        pool = engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() == 0
        await checkpointer.aclose()
        await engine.dispose()


async def test_cut_answers_of_everything_else(database_url: str) -> None:
    """Reads, stops and deletions are repeated too; a deletion may then say that it found nothing."""
    async with WireProxy(database_url) as proxy:
        checkpointer = PgCheckpointer(proxy.url, redis_url=None)
        thread = Thread(checkpointer)
        await thread.write({"i": 1}, added=[message(0)])
        before = await thread.load()
        for call in (checkpointer.load, checkpointer.request_stop, checkpointer.get_thread):
            proxy.cut_answers = 1
            assert await call(thread.scope, thread.id)
        assert await thread.load() == before
        proxy.cut_answers = 1
        await checkpointer.delete_thread(thread.scope, thread.id)
        assert await checkpointer.load(thread.scope, thread.id) is None
        assert proxy.cuts == 4
        await checkpointer.aclose()


@pytest.mark.own_server
async def test_killed_under_writers(own_postgres: EmbeddedPostgres) -> None:
    """SIGKILL and restart, twice, under eight writers: each goes on by itself, no version lost or doubled."""
    checkpointer = PgCheckpointer(own_postgres.url, redis_url=None, retry_s=60)
    scope = new_scope()
    acknowledged = dict.fromkeys(range(8), 0)
    stop = asyncio.Event()

    async def writer(number: int) -> None:
        thread = Thread(checkpointer, scope, f"t{number}")
        while not stop.is_set():
            ack = await thread.write({"i": acknowledged[number]}, added=[message(acknowledged[number])])
            assert ack.head == acknowledged[number] + 1
            acknowledged[number] = ack.head

    writers = [asyncio.create_task(writer(number)) for number in acknowledged]
    for _ in range(2):
        await _grown(acknowledged, writers)
        await asyncio.to_thread(own_postgres.kill)
        await asyncio.to_thread(own_postgres.start)
    await _grown(acknowledged, writers)
    stop.set()
    await asyncio.gather(*writers)
    for number, head in acknowledged.items():
        snapshot = await Thread(checkpointer, scope, f"t{number}").load()
        assert (snapshot.head, len(snapshot.messages)) == (head, head)
        entries = await checkpointer.history(scope, f"t{number}", limit=head + 1)
        assert [entry.seq for entry in entries] == list(range(head, 0, -1))
    await checkpointer.aclose()


async def _grown(acknowledged: dict[int, int], writers: list[asyncio.Task[None]]) -> None:
    """Wait until every writer got 5 further."""
    goals = {number: head + 5 for number, head in acknowledged.items()}
    async with asyncio.timeout(90):
        while any(acknowledged[number] < goal for number, goal in goals.items()):
            failed = [task for task in writers if task.done()]
            assert not failed, failed[0].exception()
            await asyncio.sleep(0.01)


@pytest.mark.own_server
async def test_away_and_back(own_postgres: EmbeddedPostgres) -> None:
    """While it is away calls fail typed within their time, also when it hangs; then all is well by itself."""
    checkpointer = PgCheckpointer(own_postgres.url, redis_url=None, timeout_s=0.5, retry_s=0.5)
    thread = Thread(checkpointer)
    await thread.write({"i": 1})
    for away, back in ((own_postgres.pause, own_postgres.resume), (own_postgres.kill, own_postgres.start)):
        await asyncio.to_thread(away)
        for call in (thread.write, thread.load):
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                await call()
            assert time.monotonic() - began < 10
        await asyncio.to_thread(back)
        async with asyncio.timeout(30):
            await _until_written(thread)
    snapshot = await thread.load()
    entries = await checkpointer.history(thread.scope, thread.id)
    assert [entry.seq for entry in entries] == list(range(snapshot.head, 0, -1))
    await checkpointer.aclose()


async def _until_written(thread: Thread) -> None:
    while True:
        try:
            await thread.write({"back": True})
        except StoreUnavailableError:
            continue
        return
