"""Connections: one round trip a checkpoint, none lost, none crossed between loops, engines passed in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool

from agentflow.errors import AgentFlowError, StoreUnavailableError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import Thread, message, write_after
from tests.support.wire_proxy import WireProxy


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[WireProxy]:
    async with WireProxy(database_url) as proxy:
        yield proxy


async def round_trips(proxy: WireProxy, work: Callable[[], Awaitable[object]]) -> int:
    before = proxy.round_trips
    await work()
    return proxy.round_trips - before


async def test_a_checkpoint_is_one_round_trip(proxy: WireProxy) -> None:
    """Each kind of write and read, its statement once prepared: nothing begins or resets around it."""
    checkpointer = PgCheckpointer(proxy.url, redis_url=None, pool_size=1, max_overflow=0)
    thread = Thread(checkpointer)

    async def once() -> list[int]:
        async with checkpointer.session(thread.scope, thread.id) as session:
            before = session.snapshot

            def write(**other: object) -> Callable[[], Awaitable[object]]:
                return lambda: session.append(write_after(session.snapshot, **other))  # type: ignore[arg-type]

            pos = before.next_pos if before is not None else 0
            counts = [
                await round_trips(proxy, write(fields={"i": pos})),
                await round_trips(proxy, write(added=[message(pos), message(pos + 1)])),
                await round_trips(proxy, write(added=[message(pos, "edited")], removed=[pos])),
                await round_trips(proxy, session.reload),
            ]
        return [*counts, await round_trips(proxy, lambda: checkpointer.load_at(thread.scope, thread.id, 2))]

    await once()
    await once()
    assert await once() == [1, 1, 1, 1, 1]
    await checkpointer.aclose()


async def test_a_turn_with_redis_reads_nothing_from_postgres(proxy: WireProxy, redis_url: str) -> None:
    """A warm session is its writes alone."""
    checkpointer = PgCheckpointer(proxy.url, redis_url=redis_url, pool_size=1, max_overflow=0)
    scope = Thread(checkpointer).scope

    async def turn() -> None:
        async with checkpointer.session(scope, "t") as session:
            for i in range(4):
                await session.append(
                    write_after(session.snapshot, {"i": i}, added=[message(100 + i)] if not i else ())
                )

    async def second_turn() -> None:
        async with checkpointer.session(scope, "t") as session:
            assert session.from_cache
            for i in range(4):
                await session.append(write_after(session.snapshot, {"i": -i}))

    await turn()
    await second_turn()
    assert await round_trips(proxy, second_turn) == 4
    await checkpointer.aclose()


async def test_cancelled_writes_give_their_connections_back(database_url: str) -> None:
    """Cancelled at every step of a write, many times: the pool is whole, and each write is there or not."""
    engine = create_async_engine(database_url, pool_size=2, max_overflow=0, pool_timeout=5)
    checkpointer = PgCheckpointer.from_engine(engine, redis_url=None)
    thread = Thread(checkpointer)
    await thread.write()
    for turns in range(60):
        before = (await thread.load()).head
        writing = asyncio.create_task(thread.write({"i": turns}, added=[message(turns)]))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert (await thread.load()).head in (before, before + 1)
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedout() == 0
    snapshot = await thread.load()
    entries = await checkpointer.history(thread.scope, thread.id, limit=1000)
    assert [entry.seq for entry in entries] == list(range(snapshot.head, 0, -1))
    await checkpointer.aclose()
    await engine.dispose()


async def test_more_runs_than_connections(database_url: str, redis_url: str) -> None:
    """They wait for each other; a pool that stays exhausted is a typed error."""
    checkpointer = PgCheckpointer(database_url, redis_url, pool_size=2, max_overflow=1)
    scope = Thread(checkpointer).scope
    await asyncio.gather(*(Thread(checkpointer, scope, f"t{i}").write({"i": i}) for i in range(40)))
    assert len(await checkpointer.list_threads(scope)) == 40
    await checkpointer.aclose()


async def test_an_engine_passed_in_is_used_again_after_closing(database_url: str) -> None:
    """The program's pool serves its loop before and after `aclose`, and is not disposed by it."""
    engine = create_async_engine(database_url, pool_size=1, max_overflow=0)
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    checkpointer = PgCheckpointer.from_engine(engine, redis_url=None)
    thread = Thread(checkpointer)
    for _ in range(2):
        await thread.write()
        await checkpointer.aclose()
        assert (pool.checkedin(), pool.checkedout()) == (1, 0)
    await engine.dispose()


def test_an_engine_passed_in_never_crosses_loops(database_url: str) -> None:
    """Another loop gets a pool of its own, closed with the loop."""

    async def build() -> PgCheckpointer:
        engine = create_async_engine(database_url)
        checkpointer = PgCheckpointer.from_engine(engine, redis_url=None)
        await Thread(checkpointer, Scope()).write()
        await engine.dispose()
        return checkpointer

    checkpointer = asyncio.run(build())
    for head in (2, 3):
        assert asyncio.run(Thread(checkpointer, Scope()).write()).head == head


async def test_errors_of_the_server_keep_the_connection(database_url: str) -> None:
    """A refused statement is typed, and its connection serves the next."""
    engine = create_async_engine(database_url, pool_size=1, max_overflow=0)
    checkpointer = PgCheckpointer.from_engine(engine, redis_url=None)
    scope = Scope(placement=77)  # no such partition
    before = await backend_pid(checkpointer)
    with pytest.raises(AgentFlowError):
        await Thread(checkpointer, scope).write()
    assert await backend_pid(checkpointer) == before
    await checkpointer.aclose()
    await engine.dispose()


async def backend_pid(checkpointer: PgCheckpointer) -> int:
    from agentflow.storage.checkpointer.pool import connection

    await checkpointer.asetup()
    async with connection(checkpointer._template) as driver:
        pid: int = await driver.fetchval("SELECT pg_backend_pid()")
        assert isinstance(driver, asyncpg.Connection)
        return pid


async def test_closing_waits_for_a_read_under_way(database_url: str) -> None:
    """It gets its answer; afterwards no connection is open, whoever made it."""
    checkpointer = PgCheckpointer(database_url, redis_url=None, cache_bytes=0)
    thread = Thread(checkpointer)
    await thread.write()
    holder = await asyncpg.connect(database_url.replace("+asyncpg", "", 1))
    async with holder.transaction():
        await holder.execute("LOCK TABLE agentflow_threads IN ACCESS EXCLUSIVE MODE")
        read = asyncio.create_task(thread.load())
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'agentflow_threads'::regclass"
        )
        while not await holder.fetchval(waiting):
            pass
        closing = asyncio.create_task(checkpointer.aclose())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not closing.done()
    assert (await read).head == 1
    await closing
    await holder.close()


async def test_closing_ends_the_tries_of_a_write(proxy: WireProxy) -> None:
    """A write that waits to try again is told at once, and opens nothing any more; later use opens anew."""
    checkpointer = PgCheckpointer(proxy.url, redis_url=None, retry_s=600)
    thread = Thread(checkpointer)
    await thread.write()
    async with checkpointer.session(thread.scope, thread.id) as session:
        before, proxy.cut_answers = proxy.cuts, 10**6
        write = asyncio.create_task(session.append(write_after(session.snapshot)))
        while proxy.cuts < before + 3:  # noqa: ASYNC110 - the proxy counts
            await asyncio.sleep(0)
        await checkpointer.aclose()
        with pytest.raises(StoreUnavailableError):
            await write
    proxy.cut_answers = 0
    assert (await thread.load()).head == 2
    await checkpointer.aclose()
