"""Locks within a process: in order, bounded, given up by who leaves, across threads."""

import asyncio
import threading

from agentflow.storage.checkpointer.locks import LocalLocks


async def test_first_come_first_served() -> None:
    locks = LocalLocks()
    order: list[int] = []

    async def work(number: int) -> None:
        assert await locks.acquire("k", 30)
        order.append(number)
        await asyncio.sleep(0)
        locks.release("k")

    await asyncio.gather(*(work(i) for i in range(10)))
    assert order == list(range(10))
    assert not locks._held


async def test_waiting_ends() -> None:
    """At once for no time, after the time otherwise; the holder is not disturbed."""
    locks = LocalLocks()
    assert await locks.acquire("k", 0)
    assert not await locks.acquire("k", 0)
    assert not await locks.acquire("k", 0.02)
    assert await locks.acquire("other", 0)
    locks.release("k")
    assert await locks.acquire("k", 0)


async def test_a_cancelled_waiter_passes_it_on() -> None:
    """Also when it was cancelled at the moment the lock was handed to it."""
    locks = LocalLocks()
    assert await locks.acquire("k", 0)
    first, second = (asyncio.create_task(locks.acquire("k", 30)) for _ in range(2))
    await asyncio.sleep(0)
    locks.release("k")
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    assert await second
    locks.release("k")
    assert not locks._held


def test_across_threads_and_loops() -> None:
    """Two at once never hold it, whichever loops they run in."""
    locks = LocalLocks()
    inside = 0
    worst = 0

    async def work() -> None:
        nonlocal inside, worst
        for _ in range(50):
            assert await locks.acquire("k", 30)
            inside += 1
            worst = max(worst, inside)
            await asyncio.sleep(0)
            inside -= 1
            locks.release("k")

    threads = [threading.Thread(target=lambda: asyncio.run(work())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (worst, inside) == (1, 0)
    assert not locks._held
