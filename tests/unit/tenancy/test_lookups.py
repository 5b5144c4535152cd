"""What is remembered, for how long, and that a question is asked once however many wait."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agentflow_tenancy.lookups import Lookups
from tests.unit.tenancy.test_keys import Clock


class Store:
    """Answers when the test lets it, with what holds at the time of asking."""

    def __init__(self) -> None:
        self.value = 1
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, key: str) -> int:
        self.asked += 1
        value = self.value
        await self.open.wait()
        if value < 0:
            raise LookupError(key)
        return value


def made(store: Callable[[str], Awaitable[int]], clock: Clock) -> Lookups[str, int]:
    return Lookups(store, worth=bool, remember_s=0.8, most=3, clock=clock)


async def settled() -> None:
    """Every task that is ready has run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_answer_is_remembered_for_so_long() -> None:
    """From when it was asked for; a question of less patience asks again."""
    store, clock = Store(), Clock()
    lookups = made(store, clock)
    for clock.now in (0.0, 0.1, 0.3):
        assert await lookups.get("a") == 1
    assert store.asked == 1
    store.value = 2
    assert await lookups.get("a", within_s=0.2) == 2
    clock.now = 2.0
    store.value = 3
    assert await lookups.get("a") == 3


async def test_what_is_in_use_is_asked_for_ahead() -> None:
    """So that nobody waits; and once."""
    store, clock = Store(), Clock()
    lookups = made(store, clock)
    await lookups.get("a")
    store.value, clock.now = 2, 0.5
    store.open.clear()
    assert [await lookups.get("a") for _ in range(3)] == [1, 1, 1]
    store.open.set()
    await settled()
    clock.now = 1.0
    assert await lookups.get("a") == 2
    assert store.asked == 2


async def test_many_wait_for_one_question() -> None:
    """Also when who asked first goes away."""
    store, clock = Store(), Clock()
    lookups = made(store, clock)
    store.open.clear()
    first, *others = [asyncio.create_task(lookups.get("a")) for _ in range(5)]
    await settled()
    first.cancel()
    store.open.set()
    assert await asyncio.gather(*others) == [1] * 4
    assert store.asked == 1


async def test_a_slow_answer_is_not_waited_for_by_those_who_come_late() -> None:
    """It tells of a time too long ago: a key revoked since then would live on."""
    store, clock = Store(), Clock()
    lookups = made(store, clock)
    store.open.clear()
    early = asyncio.create_task(lookups.get("a"))
    await settled()
    store.value, clock.now = 2, 0.9
    late = asyncio.create_task(lookups.get("a"))
    await settled()
    store.open.set()
    assert (await early, await late) == (1, 2)
    assert await lookups.get("a") == 2
    assert store.asked == 2


async def test_refusals_and_faults_are_not_remembered() -> None:
    """The next one asks again; a fault is told to everybody who waits."""
    store, clock = Store(), Clock()
    lookups = made(store, clock)
    store.value = 0
    assert [await lookups.get("a"), await lookups.get("a")] == [0, 0]
    assert store.asked == 2
    store.value = -1
    answers = await asyncio.gather(*(lookups.get("a") for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError] * 3
    assert store.asked == 3
    store.value = 4
    assert await lookups.get("a") == 4


async def test_memory_is_bounded() -> None:
    """The oldest goes."""
    lookups = made(Store(), Clock())
    for name in "abcdef":
        await lookups.get(name)
    assert len(lookups) == 3


@pytest.mark.parametrize("within_s", [0.0, -1.0])
async def test_no_patience_asks_every_time(within_s: float) -> None:
    """What was known a moment ago does not count."""
    store = Store()
    lookups = made(store, Clock())
    assert [await lookups.get("a", within_s=within_s) for _ in range(2)] == [1, 1]
    assert store.asked == 2
