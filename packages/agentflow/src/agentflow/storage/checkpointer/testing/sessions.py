"""Sessions: one run at a time, each starting from what the one before left; stop requests."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
import random

from agentflow.errors import ThreadBusyError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.testing.case import (
    Cases,
    Thread,
    contents,
    message,
    new_scope,
    raised,
    write_after,
)
from agentflow.storage.checkpointer.types import Scope

CASES = Cases()


async def _enter(checkpointer: BaseCheckpointer, scope: Scope, wait_s: float) -> int:
    async with checkpointer.session(scope, "t", wait_s=wait_s) as session:
        return 0 if session.snapshot is None else session.snapshot.head


@CASES.add
async def one_run_at_a_time(checkpointer: BaseCheckpointer) -> None:
    """While a run holds a thread others wait, then start from what it wrote; they give up when told to."""
    scope = new_scope()
    async with checkpointer.session(scope, "t") as session:
        await raised(ThreadBusyError, _enter(checkpointer, scope, 0))
        await raised(ThreadBusyError, _enter(checkpointer, scope, 0.05))
        waiter = asyncio.create_task(_enter(checkpointer, scope, 30))
        async with checkpointer.session(scope, "another", wait_s=0):
            pass
        await session.append(write_after(None))
        assert not waiter.done()
    assert await waiter == 1


@CASES.add
async def runs_at_once_lose_nothing(checkpointer: BaseCheckpointer) -> None:
    """Ten runs on one thread, each adding a message after some thought: ten messages in ten versions."""
    scope = new_scope()

    async def run(i: int) -> None:
        async with checkpointer.session(scope, "t") as session:
            before = await session.reload() if session.from_cache else session.snapshot
            await asyncio.sleep(0)
            pos = before.next_pos if before is not None else 0
            await session.append(write_after(before, {"last": i}, added=[message(pos, str(i))]))

    await asyncio.gather(*(run(i) for i in range(10)))
    snapshot = await Thread(checkpointer, scope).load()
    assert snapshot.head == 10
    assert sorted(contents(snapshot)) == sorted(str(i) for i in range(10))


@CASES.add
async def failed_run_frees_the_thread(checkpointer: BaseCheckpointer) -> None:
    """An error inside leaves what was committed and lets the next run in at once."""
    scope = new_scope()

    async def fail() -> None:
        async with checkpointer.session(scope, "t") as session:
            await session.append(write_after(None, {"kept": True}))
            raise KeyError("the node's own")

    await raised(KeyError, fail())
    async with checkpointer.session(scope, "t", wait_s=0) as session:
        assert session.snapshot is not None
        assert session.snapshot.fields == {"kept": True}


@CASES.add
async def cancelled_waiter_frees_its_place(checkpointer: BaseCheckpointer) -> None:
    """Who stops waiting neither holds the thread later nor keeps those behind from it."""
    scope = new_scope()
    async with checkpointer.session(scope, "t"):
        waiters = [asyncio.create_task(_enter(checkpointer, scope, 30)) for _ in range(3)]
        await _turns(20)
        waiters[0].cancel()
        waiters[2].cancel()
        for waiter in (waiters[0], waiters[2]):
            await raised(asyncio.CancelledError, waiter)
    assert await waiters[1] == 0
    assert await _enter(checkpointer, scope, 1) == 0


@CASES.add
async def cancelled_holder_frees_the_thread(checkpointer: BaseCheckpointer) -> None:
    """A cancelled run lets go, and its write is there whole or not at all."""
    thread = Thread(checkpointer)
    await thread.write({"i": 0}, added=[message(0, "0")])

    async def run(i: int) -> None:
        async with checkpointer.session(thread.scope, thread.id) as session:
            before = await session.reload()
            assert before is not None
            new = message(before.next_pos, str(i))
            await session.append(write_after(before, {"i": i}, added=[new]))

    for i in range(1, 25):
        before = await thread.load()
        task = asyncio.create_task(run(i))
        await _turns(i)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with checkpointer.session(thread.scope, thread.id, wait_s=20) as session:
            after = await session.reload()
        assert after is not None
        if after.head == before.head:
            assert after == before
        else:
            assert after.head == before.head + 1
            assert (after.fields, contents(after)[-1]) == ({"i": i}, str(i))
            assert len(after.messages) == len(before.messages) + 1
    history = await checkpointer.history(thread.scope, thread.id)
    assert [entry.seq for entry in history] == list(range(len(history), 0, -1))


@CASES.add
async def session_follows_its_own_writes(checkpointer: BaseCheckpointer) -> None:
    """`snapshot` is the thread after each append, and `reload` says the same."""
    scope = new_scope()
    async with checkpointer.session(scope, "t") as session:
        assert session.snapshot is None
        await session.append(write_after(None, {"a": 1}, added=[message(0, "0"), message(1, "1")]))
        followed = [session.snapshot, await session.reload()]
        await session.append(
            write_after(session.snapshot, {"a": 2}, added=[message(0, "edited")], removed=[0])
        )
        followed += [session.snapshot, await session.reload()]
        await session.append(write_after(session.snapshot, added=[message(2, "2")], removed=[1]))
        followed += [session.snapshot, await session.reload()]
    assert followed[0] == followed[1]
    assert followed[2] == followed[3]
    assert followed[4] == followed[5] == await Thread(checkpointer, scope).load()


@CASES.add
async def sessions_start_where_the_last_one_ended(checkpointer: BaseCheckpointer) -> None:
    """Through many runs that add, edit, remove, or write nothing, a run starts from what is stored."""
    thread = Thread(checkpointer)
    pick = random.Random(3)
    for i in range(30):
        async with checkpointer.session(thread.scope, thread.id) as session:
            assert session.snapshot == await checkpointer.load(thread.scope, thread.id), f"run {i}"
            for _ in range(pick.randrange(3)):
                before = session.snapshot
                rows = before.messages if before is not None else ()
                removed = [row.pos for row in rows if pick.random() < 0.1]
                first = before.next_pos if before is not None else 0
                added = [message(first + k, f"{i} {k}") for k in range(pick.randrange(3))]
                await session.append(write_after(before, {"i": i}, added=added, removed=removed))


@CASES.add
async def stop_reaches_the_run_and_ends_with_it(checkpointer: BaseCheckpointer) -> None:
    """Told with the run's next write, without a new version; the next run starts clear."""
    thread = Thread(checkpointer)
    assert await checkpointer.request_stop(thread.scope, thread.id) is False
    await thread.write({"i": 0}, starts_run=True)
    async with checkpointer.session(thread.scope, thread.id) as session:
        await session.reload()
        assert (await session.append(write_after(session.snapshot))).stop_requested is False
        assert await session.stop_requested() is False
        assert await checkpointer.request_stop(thread.scope, thread.id) is True
        assert await session.stop_requested() is True
        told = await session.append(write_after(session.snapshot))
        assert (told.head, told.stop_requested) == (3, True)
    assert (await thread.write({"i": 1}, starts_run=True)).stop_requested is False
    assert (await thread.write({"i": 2})).stop_requested is False
    async with checkpointer.session(thread.scope, thread.id) as session:
        assert await session.stop_requested() is False


async def _turns(count: int) -> None:
    """Let other tasks run a number of times."""
    for _ in range(count):
        await asyncio.sleep(0)
