"""Fair admission: turns, shares, full queues, cancelled waiters, places held for long."""

import asyncio

import pytest

from agentflow_tenancy import OverloadedError
from agentflow_tenancy.fair_share import FairShare


class Crowd:
    """Requests that enter, say so, and stay until they are let go."""

    def __init__(self, share: FairShare, *, rests: bool = True) -> None:
        self.share = share
        self.rests = rests
        self.inside: list[str] = []
        self.go: dict[str, asyncio.Event] = {}

    def send(self, name: str) -> "asyncio.Task[None]":
        self.go[name] = asyncio.Event()
        return asyncio.create_task(self._work(name))

    async def _work(self, name: str) -> None:
        async with self.share.entered(name[0], rests=self.rests):
            self.inside.append(name)
            await self.go[name].wait()

    async def settle(self) -> list[str]:
        for _ in range(5):
            await asyncio.sleep(0)
        return self.inside


async def test_tenants_take_turns() -> None:
    """Whoever came with a hundred gets one place a round, like who came with one."""
    crowd = Crowd(FairShare(at_once=2, share=2))
    tasks = [crowd.send(name) for name in ("a1", "a2", "a3", "a4", "b1", "c1")]
    assert await crowd.settle() == ["a1", "a2"]
    for name in ("a1", "a2", "a3"):
        crowd.go[name].set()
        await crowd.settle()
    assert crowd.inside == ["a1", "a2", "a3", "b1", "c1"]
    for event in crowd.go.values():
        event.set()
    await asyncio.gather(*tasks)


async def test_a_share_is_never_all() -> None:
    """Room is kept for the others, who then wait for nobody."""
    crowd = Crowd(FairShare(at_once=4, share=3))
    tasks = [crowd.send(f"a{i}") for i in range(10)]
    assert len(await crowd.settle()) == 3
    tasks.append(crowd.send("b1"))
    assert "b1" in await crowd.settle()
    for event in crowd.go.values():
        event.set()
    await asyncio.gather(*tasks)
    assert len(crowd.inside) == 11


async def test_a_full_queue_is_its_tenants_own() -> None:
    """Refused at once; another tenant still gets in its own."""
    crowd = Crowd(FairShare(at_once=1, most_waiting=2))
    tasks = [crowd.send(f"a{i}") for i in range(3)]
    await crowd.settle()
    with pytest.raises(OverloadedError):
        async with crowd.share.entered("a"):
            pass
    tasks.append(crowd.send("b1"))
    for event in crowd.go.values():
        event.set()
    await asyncio.gather(*tasks)
    assert sorted(crowd.inside) == ["a0", "a1", "a2", "b1"]


async def test_who_gives_up_leaves_no_gap() -> None:
    """Waiting, or in the very moment of being let in: the place goes to the next."""
    crowd = Crowd(FairShare(at_once=1))
    first, second, third = (crowd.send(name) for name in ("a1", "a2", "a3"))
    await crowd.settle()
    second.cancel()
    await crowd.settle()
    crowd.go["a1"].set()
    await first
    assert await crowd.settle() == ["a1", "a3"]
    fourth, fifth = crowd.send("a4"), crowd.send("a5")
    await crowd.settle()
    crowd.go["a3"].set()
    await third
    fourth.cancel()
    crowd.go["a4"].set()
    crowd.go["a5"].set()
    await asyncio.gather(fourth, fifth, return_exceptions=True)
    assert "a5" in crowd.inside


async def test_what_takes_long_keeps_nobody_out() -> None:
    """A run that waits for a model gives its place up when somebody wants it."""
    crowd = Crowd(FairShare(at_once=1, hold_s=0.0))
    slow = crowd.send("a1")
    await crowd.settle()
    quick = crowd.send("b1")
    crowd.go["b1"].set()
    await quick
    crowd.go["a1"].set()
    await slow
    async with crowd.share.entered("a"):
        assert crowd.inside == ["a1", "b1"]


async def test_who_gives_up_in_the_moment_of_being_let_in() -> None:
    """Cancelled, but not yet run to notice: the place goes to the next, and who left hears of no error."""
    crowd = Crowd(FairShare(at_once=1))
    first, second, third = (crowd.send(name) for name in ("a1", "a2", "b1"))
    await crowd.settle()
    crowd.go["a1"].set()
    second.cancel()
    await first
    crowd.go["b1"].set()
    await third
    assert crowd.inside == ["a1", "b1"]


async def test_nobody_waits_for_ever() -> None:
    """Who was not let in for long is told to come back, and leaves no gap."""
    crowd = Crowd(FairShare(at_once=1, hold_s=1000, longest_wait_s=0.0))
    first = crowd.send("a1")
    await crowd.settle()
    with pytest.raises(OverloadedError):
        await crowd.send("b1")
    crowd.go["a1"].set()
    await first
    async with crowd.share.entered("b"):
        assert crowd.inside == ["a1"]


async def test_what_takes_long_without_resting_stays_its_tenants() -> None:
    """Others get in at once; of its own no more than the share, however long it takes."""
    crowd = Crowd(FairShare(at_once=2, share=2, hold_s=0.0), rests=False)
    tasks = [crowd.send(name) for name in ("a1", "a2", "a3")]
    await crowd.settle()
    quick = crowd.send("b1")
    crowd.go["b1"].set()
    await quick
    assert crowd.inside == ["a1", "a2", "b1"]
    for name in ("a1", "a2", "a3"):
        crowd.go[name].set()
    await asyncio.gather(*tasks)
    assert crowd.inside == ["a1", "a2", "b1", "a3"]
