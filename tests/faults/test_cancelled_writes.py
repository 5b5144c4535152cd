"""Writes cancelled at every await: each is there whole or not at all, and the store goes on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from agentflow.errors import StaleCheckpointError
from agentflow.storage.checkpointer import PgCheckpointer, Snapshot
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.pool import connection
from agentflow.storage.checkpointer.testing.case import Thread, message, new_scope, write_after
from tests.support.stepping import at_step, cancelled_at

SIZES = {"small": 10, "large": 100_000}
# More than any write suspends: a test that gets here has not come to an end.
MOST_STEPS = 200


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """With so few connections that one that is lost is missed."""
    engine = create_async_engine(database_url, pool_size=4, max_overflow=0, pool_timeout=5)
    yield engine
    await engine.dispose()


async def append(session: ThreadSession, text: str = "hi", *, edits: bool = False) -> None:
    """One message more, or the last one written anew; the fields say how many there are."""
    before = session.snapshot
    messages: Sequence[Any] = before.messages if before is not None else ()
    pos = before.next_pos if before is not None else 0
    removed: list[int] = []
    if edits and messages:
        pos = messages[-1].pos
        removed.append(pos)
    count = len(messages) + 1 - len(removed)
    await session.append(write_after(before, {"count": count}, added=[message(pos, text)], removed=removed))


async def turn(thread: Thread, text: str = "hi", *, edits: bool = False) -> None:
    async with thread.checkpointer.session(thread.scope, thread.id) as session:
        await session.reload()
        await append(session, text, edits=edits)


async def goes_on(thread: Thread) -> None:
    """The next turn is taken, although the one before may still come to its end in the server."""
    try:
        await turn(thread)
    except StaleCheckpointError:
        await turn(thread)


async def whole(thread: Thread) -> Snapshot:
    """The thread, every version of which has as many messages as its fields say."""
    snapshot = await thread.load()
    entries = await thread.checkpointer.history(thread.scope, thread.id, limit=1000)
    assert [entry.seq for entry in entries] == list(range(snapshot.head, 0, -1))
    for entry in entries:
        version = await thread.checkpointer.load_at(thread.scope, thread.id, entry.seq)
        assert version.fields == {"count": len(version.messages)}
    return snapshot


async def restored(checkpointer: PgCheckpointer, engine: AsyncEngine) -> None:
    await checkpointer.aclose()
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedout() == 0
    assert engine.pool.overflow() <= 0


async def kill_connections(checkpointer: PgCheckpointer, database_url: str) -> None:
    """As a restart does: those at hand and in the pool are dead when they are next used."""
    other = create_async_engine(database_url)
    async with connection(other) as driver:
        await driver.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
    await other.dispose()


@pytest.mark.parametrize("edits", [False, True], ids=["adds", "edits"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("store", ["postgres", "redis"])
async def test_a_lone_write(engine: AsyncEngine, redis_url: str, store: str, size: str, edits: bool) -> None:
    """With its session around it, on connections at hand."""
    redis = redis_url if store == "redis" else None
    checkpointer = PgCheckpointer.from_engine(engine, redis, lease_s=0.3)
    thread = Thread(checkpointer)
    struck = True
    for step in range(MOST_STEPS):
        await goes_on(thread)
        before = (await thread.load()).head
        struck = await cancelled_at(step, turn(thread, "x" * SIZES[size], edits=edits))
        assert (await thread.load()).head in (before, before + 1)
        if not struck:
            break
    assert not struck
    assert step >= 2
    assert (await whole(thread)).head >= step
    await restored(checkpointer, engine)


@pytest.mark.parametrize("at_hand", [True, False])
async def test_on_dead_connections(engine: AsyncEngine, database_url: str, at_hand: bool) -> None:
    """Those that the server closed are thrown away by whoever meets them; none is missing afterwards."""
    checkpointer = PgCheckpointer.from_engine(engine, None)
    thread = Thread(checkpointer)
    struck = True
    for step in range(MOST_STEPS):
        await goes_on(thread)
        if not at_hand:
            await checkpointer.aclose()
            await checkpointer.asetup()
        await kill_connections(checkpointer, database_url)
        struck = await cancelled_at(step, turn(thread))
        assert isinstance(engine.pool, QueuePool)
        if not struck:
            break
    assert not struck
    assert step >= 2
    await whole(thread)
    await restored(checkpointer, engine)


async def test_one_of_a_group(engine: AsyncEngine) -> None:
    """One gives up at each await of the statement it shares: the others are written, and it whole or not."""
    checkpointer = PgCheckpointer.from_engine(engine, None)
    scope = new_scope()
    threads = [Thread(checkpointer, scope, f"t{i}") for i in range(8)]
    for thread in threads:
        await turn(thread)
    heads = [1] * len(threads)
    struck = True
    for step in range(MOST_STEPS):
        struck, answers = await written_together(checkpointer, threads, step)
        assert answers[:-1] == [None] * 7
        assert isinstance(answers[-1], asyncio.CancelledError) or not struck
        now = [(await whole(thread)).head for thread in threads]
        assert now[:-1] == [head + 1 for head in heads[:-1]]
        assert now[-1] in (heads[-1], heads[-1] + 1)
        heads = now
        if not struck:
            break
    assert not struck
    assert step > 0
    await restored(checkpointer, engine)


async def written_together(
    checkpointer: PgCheckpointer, threads: Sequence[Thread], step: int
) -> tuple[bool, list[Any]]:
    """A write to each; the last is cancelled when their group's statement suspends for the step-th time."""
    commits = (await checkpointer.backend()).writer._commits
    send_group = commits._send_group
    struck = False

    def strike() -> None:
        nonlocal struck
        struck = True
        writes[-1].cancel()

    async def stepped(items: Sequence[Any]) -> Any:
        return await at_step(step, strike, send_group(items))

    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(checkpointer.session(thread.scope, thread.id))
            for thread in threads
        ]
        commits._send_group = stepped
        writes = [asyncio.create_task(append(session)) for session in sessions]
        answers = await asyncio.gather(*writes, return_exceptions=True)
        commits._send_group = send_group
    return struck, answers
