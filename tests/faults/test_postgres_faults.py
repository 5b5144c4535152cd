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
CUTS_OF_GROUPS = 200
WRITERS = 8


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


async def test_cut_answers_of_groups(database_url: str) -> None:
    """Eight writers share statements whose replies are lost: each knows its own commit again."""
    async with WireProxy(database_url) as proxy:
        engine = create_async_engine(proxy.url, pool_size=4, max_overflow=0)
        checkpointer = PgCheckpointer.from_engine(engine, redis_url=None, retry_s=60)
        await checkpointer.asetup()
        scope = new_scope()
        heads = dict.fromkeys(range(WRITERS), 0)

        async def writer(number: int) -> None:
            async with checkpointer.session(scope, f"t{number}") as session:
                while proxy.cuts < CUTS_OF_GROUPS:
                    proxy.cut_answers = 1
                    i = heads[number]
                    write = write_after(session.snapshot, {"i": i}, added=[message(i, str(i))])
                    heads[number] = (await session.append(write)).head
                    assert heads[number] == i + 1

        await asyncio.gather(*map(writer, heads))
        proxy.cut_answers = 0
        assert proxy.cuts >= CUTS_OF_GROUPS
        assert sum(heads.values()) >= CUTS_OF_GROUPS
        for number, head in heads.items():
            await _has_exactly(Thread(checkpointer, scope, f"t{number}"), head)
        await checkpointer.aclose()
        pool = engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() == 0
        await engine.dispose()


async def _has_exactly(thread: Thread, head: int) -> None:
    """Every version once, and with each its message."""
    snapshot = await thread.load()
    assert snapshot.head == head
    assert [row.content for row in snapshot.messages] == [str(i) for i in range(head)]
    entries = await thread.checkpointer.history(thread.scope, thread.id, limit=head + 1)
    assert [entry.seq for entry in entries] == list(range(head, 0, -1))


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
    """SIGKILL and restart, twice, under eight writers: each goes on by itself, no version lost or doubled.

    Who reads meanwhile, in this process and in another, never sees less than what was acknowledged before.
    """
    writes = PgCheckpointer(own_postgres.url, redis_url=None, retry_s=60)
    other = PgCheckpointer(own_postgres.url, redis_url=None, retry_s=60)
    scope = new_scope()
    acknowledged = dict.fromkeys(range(WRITERS), 0)
    stop = asyncio.Event()

    async def writer(number: int) -> None:
        thread = Thread(writes, scope, f"t{number}")
        while not stop.is_set():
            i = acknowledged[number]
            ack = await thread.write({"i": i}, added=[message(i, str(i))])
            assert ack.head == i + 1
            acknowledged[number] = ack.head

    async def reader(checkpointer: PgCheckpointer) -> None:
        while not stop.is_set():
            for number in acknowledged:
                known = acknowledged[number]
                snapshot = await checkpointer.load(scope, f"t{number}")
                head = 0 if snapshot is None else snapshot.head
                assert head >= known
                assert snapshot is None or len(snapshot.messages) == head

    running = [asyncio.create_task(writer(number)) for number in acknowledged]
    running += [asyncio.create_task(reader(checkpointer)) for checkpointer in (writes, other)]
    for _ in range(2):
        await _grown(acknowledged, running)
        await asyncio.to_thread(own_postgres.kill)
        await asyncio.to_thread(own_postgres.start)
    await _grown(acknowledged, running)
    stop.set()
    await asyncio.gather(*running)
    for number, head in acknowledged.items():
        await _has_exactly(Thread(writes, scope, f"t{number}"), head)
    await writes.aclose()
    await other.aclose()


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
