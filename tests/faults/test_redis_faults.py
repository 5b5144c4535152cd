"""Redis flushed, paused and lying, locks that were lost: the head in Postgres keeps threads right."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from agentflow.errors import LeaseLostError, StaleCheckpointError, ThreadBusyError
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.postgres_session import PgThreadSession
from agentflow.storage.checkpointer.testing.case import Thread, contents, message, new_scope, write_after
from agentflow_embedded import EmbeddedValkey

pytestmark = pytest.mark.own_server


@pytest.fixture
async def redis(own_valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_valkey.url) as redis:
        yield redis


@pytest.fixture
async def two(database_url: str, own_valkey: EmbeddedValkey) -> AsyncIterator[list[PgCheckpointer]]:
    """Two processes' checkpointers, as far as locks can tell, with leases that end soon."""
    both = [PgCheckpointer(database_url, own_valkey.url, lease_s=0.6, redis_timeout_s=0.3) for _ in range(2)]
    yield both
    for checkpointer in both:
        await checkpointer.aclose()


async def append(session: ThreadSession, text: str) -> int:
    before = session.snapshot
    pos = before.next_pos if before is not None else 0
    return (await session.append(write_after(before, {"by": text}, added=[message(pos, text)]))).head


async def test_one_run_at_a_time_in_two_processes(two: list[PgCheckpointer]) -> None:
    """The lock is held for longer than its lease while its holder lives, and goes to who waits."""
    one, other = two
    scope = new_scope()
    async with one.session(scope, "t") as session:
        with pytest.raises(ThreadBusyError):
            async with other.session(scope, "t", wait_s=1.5):
                pass
        waiting = asyncio.create_task(Thread(other, scope).write({"by": "other"}))
        assert await append(session, "one") == 1
        assert not waiting.done()
    assert (await waiting).head == 2


async def test_a_flushed_lock_is_taken_again(two: list[PgCheckpointer], redis: Redis) -> None:
    """Its living holder gets it back with its next beat."""
    one, other = two
    scope = new_scope()
    async with one.session(scope, "t") as session:
        await redis.flushall()
        await _until_locked(redis)
        with pytest.raises(ThreadBusyError):
            async with other.session(scope, "t", wait_s=0):
                pass
        assert await append(session, "one") == 1


async def test_a_lost_lease_stops_the_run(two: list[PgCheckpointer], redis: Redis) -> None:
    """Who lost the lock to another writes nothing more, and does not free the other's lock."""
    one, other = two
    scope = new_scope()
    late = one.session(scope, "t")
    await late.__aenter__()
    assert await append(late, "before") == 1
    # As if this process had been stopped for longer than its lease.
    await redis.delete(*[key async for key in redis.scan_iter("af:*:l")])
    async with other.session(scope, "t") as session:
        await session.reload()
        await _until_lost(late)
        with pytest.raises(LeaseLostError):
            await append(late, "late")
        await late.__aexit__(None, None, None)
        with pytest.raises(ThreadBusyError):
            async with one.session(scope, "t", wait_s=0):
                pass
        assert await append(session, "other") == 2
    assert contents(await Thread(other, scope).load()) == ["before", "other"]


async def test_a_late_writer_without_a_lock_is_stale(two: list[PgCheckpointer], redis: Redis) -> None:
    """Before it learns that its lock is gone, the head refuses it."""
    one, other = two
    scope = new_scope()
    async with one.session(scope, "t") as late:
        assert await append(late, "one") == 1
        await redis.flushall()
        await Thread(other, scope).write({"by": "other"})
        with pytest.raises((StaleCheckpointError, LeaseLostError)):
            await append(late, "late")
    assert contents(await Thread(one, scope).load()) == ["one"]
    async with one.session(scope, "t") as session:
        assert session.snapshot == await one.load(scope, "t")


async def test_locks_that_never_end_are_not_believed(two: list[PgCheckpointer], redis: Redis) -> None:
    """A lock key without an end, or of another type than text, is garbage: to who comes and to the holder."""
    scope = new_scope()
    thread = Thread(two[0], scope)
    await thread.write({"i": 1})
    keys = [key async for key in redis.scan_iter("af:*")]
    assert keys
    lock = keys[0].partition(b"}")[0] + b"}:l"
    for head, kind in enumerate(("text", "list", "list that ends"), start=2):
        await _put_garbage(redis, lock, kind)
        async with two[1].session(scope, "t", wait_s=0.5) as session:
            await session.reload()
            await _put_garbage(redis, lock, kind)
            await _until_held(redis, lock)
            assert await append(session, "on") == head


async def _put_garbage(redis: Redis, key: bytes, kind: str) -> None:
    await redis.delete(key)
    if kind == "text":
        await redis.set(key, "x")
    else:
        await redis.rpush(key, "x")
    if kind == "list that ends":
        await redis.expire(key, 3600)


async def test_a_paused_redis_costs_little(database_url: str, own_valkey: EmbeddedValkey) -> None:
    """One time-out a second, not one a call; it is said once; everything comes back by itself."""
    checkpointer = PgCheckpointer(database_url, own_valkey.url, redis_timeout_s=0.3)
    thread = Thread(checkpointer)
    await thread.write({"i": 0})
    own_valkey.pause()
    began = time.monotonic()
    for i in range(20):
        await thread.write({"i": i})
    assert time.monotonic() - began < 20 * 0.3
    assert checkpointer.degraded
    own_valkey.resume()
    await _until_recovered(checkpointer, thread)
    async with checkpointer.session(thread.scope, thread.id) as session:
        assert session.from_cache
        assert session.snapshot == await thread.load()
    await checkpointer.aclose()


async def test_a_hanging_redis_locks_nobody_out(database_url: str, own_valkey: EmbeddedValkey) -> None:
    """What it was sent while it hung it carries out for runs that ended: their locks do not stay."""
    checkpointer = PgCheckpointer(database_url, own_valkey.url, redis_timeout_s=0.3, lease_s=3600)
    thread = Thread(checkpointer)
    await thread.write({"i": 0})
    own_valkey.pause()
    await thread.write({"i": 1})
    own_valkey.resume()
    await _until_recovered(checkpointer, thread)
    assert (await thread.write({"i": 2})).head >= 4
    await checkpointer.aclose()


async def test_stale_entries_after_an_outage(
    database_url: str, own_valkey: EmbeddedValkey, redis: Redis
) -> None:
    """Turns taken while Redis was away are not forgotten when it is back with what it had before."""
    checkpointer = PgCheckpointer(database_url, own_valkey.url, redis_timeout_s=0.3, cache_bytes=0)
    scope = new_scope()
    async with checkpointer.session(scope, "t") as session:
        await append(session, "cached")
    keys = [key async for key in redis.scan_iter("af:*")]
    dumps = {key: await redis.dump(key) or b"" for key in keys}
    async with checkpointer.session(scope, "t") as session:
        await append(session, "newer")
    for key, dump in dumps.items():
        await redis.restore(key, 0, dump, replace=True)
    assert contents(await Thread(checkpointer, scope).load()) == ["cached", "newer"]
    async with checkpointer.session(scope, "t") as session:
        assert session.from_cache
        with pytest.raises(StaleCheckpointError):
            await append(session, "lost?")
        await session.reload()
        assert await append(session, "kept") == 3
    async with checkpointer.session(scope, "t") as session:
        assert session.snapshot == await checkpointer.load(scope, "t")
        assert session.snapshot is not None
        assert contents(session.snapshot) == ["cached", "newer", "kept"]
    await checkpointer.aclose()


async def test_flushed_paused_and_killed_under_runs(
    two: list[PgCheckpointer], redis: Redis, own_valkey: EmbeddedValkey
) -> None:
    """Runs in two processes go on through it all; what either reads is never behind what was acknowledged."""
    scope = new_scope()
    acknowledged = dict.fromkeys(("a", "b", "c", "d"), 0)
    turns = 0
    stop = asyncio.Event()

    async def run(checkpointer: PgCheckpointer, name: str) -> None:
        nonlocal turns
        while not stop.is_set():
            try:
                async with checkpointer.session(scope, name) as session:
                    head = await append(session, "x")
            except (StaleCheckpointError, LeaseLostError, ThreadBusyError):
                continue
            acknowledged[name] = max(acknowledged[name], head)
            turns += 1

    async def read(checkpointer: PgCheckpointer) -> None:
        while not stop.is_set():
            for name in acknowledged:
                known = acknowledged[name]
                snapshot = await checkpointer.load(scope, name)
                head = 0 if snapshot is None else snapshot.head
                assert head >= known
                assert snapshot is None or len(snapshot.messages) == head

    async def more_turns() -> None:
        goal = turns + 40
        async with asyncio.timeout(60):
            while turns < goal:
                failed = [task for task in running if task.done()]
                assert not failed, failed[0].exception()
                await asyncio.sleep(0.01)

    running = [asyncio.create_task(run(one, name)) for one in two for name in acknowledged]
    running += [asyncio.create_task(read(one)) for one in two]
    await more_turns()
    await redis.flushall()
    await more_turns()
    own_valkey.pause()
    await more_turns()
    own_valkey.resume()
    await more_turns()
    await asyncio.to_thread(own_valkey.kill)
    await more_turns()
    await asyncio.to_thread(own_valkey.start)
    await more_turns()
    stop.set()
    await asyncio.gather(*running)
    for name, head in acknowledged.items():
        entries = await two[0].history(scope, name, limit=head + 1)
        assert [entry.seq for entry in entries] == list(range(head, 0, -1))


async def _until_locked(redis: Redis) -> None:
    async with asyncio.timeout(30):
        while not [key async for key in redis.scan_iter("af:*:l")]:  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(0.01)


async def _until_held(redis: Redis, lock: bytes) -> None:
    async with asyncio.timeout(30):
        while await redis.type(lock) != b"string" or await redis.pttl(lock) < 0:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def _until_lost(session: PgThreadSession) -> None:
    async with asyncio.timeout(30):
        while session._lease is None or not session._lease.lost:  # noqa: ASYNC110 - its beat tells
            await asyncio.sleep(0.01)


async def _until_recovered(checkpointer: PgCheckpointer, thread: Thread) -> None:
    """Until Redis answered, and then one turn more, which is cached."""
    async with asyncio.timeout(30):
        while checkpointer.degraded:
            await thread.write({"again": True})
    await thread.write({"back": True})
