"""Group commit by itself: what goes together, in which order, and who is told what."""

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import asyncpg
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from agentflow.errors import (
    InvalidInputError,
    NodeError,
    StaleCheckpointError,
    StoreUnavailableError,
    TooLargeError,
)
from agentflow.storage.checkpointer import group_commit
from agentflow.storage.checkpointer.group_commit import LARGE_BYTES, MIN_SHARE, GroupCommit
from agentflow.storage.checkpointer.lanes import LANES, same_error


@dataclass
class Item:
    name: str
    size_bytes: int = 1
    group: Hashable = None

    @property
    def key(self) -> tuple[int, int, str]:
        return (0, 0, self.name)


@dataclass
class Store:
    """Writes what it is sent when the test says so."""

    sent: list[list[str]] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    items: list[Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.commits: GroupCommit[Item, str] = GroupCommit(self.one, self.group)

    async def one(self, item: Item) -> str:
        return (await self.group([item]))[0]

    async def group(self, items: Sequence[Item]) -> list[str]:
        names = [item.name for item in items]
        self.sent.append(names)
        self.items += items
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate
        if self.bad & set(names):
            raise InvalidInputError("bad")
        self.written += names
        return [name.upper() for name in names]

    def submit(self, *names: str) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.commits.submit(Item(name))) for name in names]

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def answer(self, error: Exception | None = None) -> None:
        """The statements under way end."""
        await self.settle()
        gates, self.waiting = self.waiting, []
        for gate in gates:
            if error is None:
                gate.set_result(None)
            else:
                gate.set_exception(error)
        await self.settle()

    async def answer_all(self) -> None:
        while True:
            await self.settle()
            if not self.waiting:
                return
            await self.answer()


async def test_an_idle_store_is_written_at_once() -> None:
    """A lone writer waits for nobody, each time anew."""
    store = Store()
    for name in "ab":
        (task,) = store.submit(name)
        await store.answer()
        assert await task == name.upper()
    assert store.sent == [["a"], ["b"]]


async def test_what_waits_goes_together_sorted() -> None:
    """The lanes take one each; the others go in one group, by key, with their own answers."""
    store = Store()
    tasks = store.submit(*"dcbafe")
    await store.settle()
    assert store.sent == [["d"], ["c"]][:LANES]
    await store.answer_all()
    assert sorted(store.sent[LANES]) == store.sent[LANES] == ["a", "b", "e", "f"]
    assert [await task for task in tasks] == list("DCBAFE")


async def test_those_answered_together_share_the_lanes() -> None:
    """Both lanes have a fair share under way, and nobody goes ahead of the others by itself."""
    store = Store()
    writers = 2 * LANES * MIN_SHARE

    async def write(name: str) -> None:
        for _ in range(3):
            await store.commits.submit(Item(name))

    tasks = [asyncio.create_task(write(f"{number:02}")) for number in range(writers)]
    await store.answer()
    await store.answer()
    share = writers // LANES
    assert [len(names) for names in store.sent[-LANES:]] == [share] * LANES
    await store.answer_all()
    await asyncio.gather(*tasks)
    assert len(store.written) == 3 * writers


async def test_few_are_not_split() -> None:
    """A statement costs as much as many rows: what is less than a share goes in one."""
    store = Store()
    first = store.submit("x", "y")
    await store.settle()
    tasks = store.submit(*(f"{number:02}" for number in range(MIN_SHARE)))
    await store.answer()
    assert [len(names) for names in store.sent[LANES:]] == [MIN_SHARE]
    await store.answer_all()
    await asyncio.gather(*first, *tasks)


async def test_one_thread_is_in_flight_once_and_in_order() -> None:
    """Never twice in a statement, never in two at once; nothing is forgotten."""
    store = Store()
    tasks = store.submit("a", "a", "b", "a", "a")
    for _ in range(8):
        await store.settle()
        under_way = [name for names in store.sent[len(store.sent) - len(store.waiting) :] for name in names]
        assert len(set(under_way)) == len(under_way)
        await store.answer()
    assert store.written.count("a") == 4
    assert [await task for task in tasks] == list("AABAA")


async def test_groups_do_not_mix() -> None:
    store = Store()
    first = store.submit("x", "y")
    await store.settle()
    tasks = [asyncio.create_task(store.commits.submit(Item(name, group=name < "c"))) for name in "abcd"]
    await store.answer_all()
    await asyncio.gather(*first, *tasks)
    assert sorted(store.sent[2:]) == [["a", "b"], ["c", "d"]]


async def test_one_thread_keeps_its_order() -> None:
    """Also when its first write may not go with the others and its second may."""
    store = Store()
    first = store.submit("x", "y")
    await store.settle()
    kinds = [("a", None), ("b", "apart"), ("b", None)]
    tasks = [asyncio.create_task(store.commits.submit(Item(name, group=group))) for name, group in kinds]
    await store.answer()
    assert store.sent[2:] == [["a"], ["b"]]
    await store.answer_all()
    assert [waiting.group for waiting in store.items if waiting.name == "b"] == ["apart", None]
    await asyncio.gather(*first, *tasks)


async def test_one_bad_item_fails_alone() -> None:
    """The others of its group are written, and only it is told."""
    store = Store(bad={"e"})
    tasks = store.submit(*"xyabcdefgh")
    await store.answer_all()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers].count(InvalidInputError) == 1
    assert isinstance(answers[6], InvalidInputError)
    assert sorted(store.written) == list("abcdfghxy")


async def test_an_outage_reaches_everybody() -> None:
    """Each with an error of its own; the next write goes on as before."""
    store = Store()
    first = store.submit(*"xy")
    await store.settle()
    tasks = store.submit(*"abc")
    await store.answer()
    await store.answer(StoreUnavailableError("gone"))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailableError] * 3
    assert len({id(answer) for answer in answers}) == 3
    await asyncio.gather(*first)
    (task,) = store.submit("later")
    await store.answer()
    assert await task == "LATER"


async def test_a_large_item_holds_up_nobody() -> None:
    """It goes beside the lanes, while the small ones are written."""
    store = Store()
    large = asyncio.create_task(store.commits.submit(Item("large", size_bytes=LARGE_BYTES + 1)))
    await store.settle()
    small = store.submit(*"abcde")
    await store.settle()
    assert len(store.waiting) == 1 + LANES
    await store.answer_all()
    await asyncio.gather(large, *small)
    assert ["large"] in store.sent


async def test_cancelled_while_it_waits_it_is_not_written() -> None:
    store = Store()
    tasks = store.submit(*"xyab")
    await store.settle()
    tasks[3].cancel()
    await store.answer_all()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[3], asyncio.CancelledError)
    assert sorted(store.written) == ["a", "x", "y"]


async def test_cancelled_in_flight_it_disturbs_nobody() -> None:
    """Its group is written whole."""
    store = Store()
    tasks = store.submit(*"xyabc")
    await store.answer()
    assert store.sent[-1] == ["a", "b", "c"]
    tasks[3].cancel()
    await store.settle()
    await store.answer_all()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answers[2], answers[4]] == ["A", "C"]
    assert "b" in store.written


async def test_a_full_queue_makes_writers_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than so many wait; those who wait for room are written all the same."""
    monkeypatch.setattr(group_commit, "MAX_QUEUED", 3)
    store = Store()
    tasks = store.submit(*"abcdefghijkl")
    await store.settle()
    assert len(store.commits._queue) == 3
    await store.answer_all()
    assert sorted(await asyncio.gather(*tasks)) == list("ABCDEFGHIJKL")


async def test_closing_waits_for_what_is_under_way() -> None:
    store = Store()
    tasks = store.submit(*"abcd")
    await store.settle()
    closing = asyncio.create_task(store.commits.close())
    await store.answer()
    assert not closing.done()
    await store.answer_all()
    await closing
    await asyncio.gather(*tasks)


async def test_closing_waits_for_a_large_item() -> None:
    store = Store()
    large = asyncio.create_task(store.commits.submit(Item("large", size_bytes=LARGE_BYTES + 1)))
    await store.settle()
    closing = asyncio.create_task(store.commits.close())
    await store.settle()
    assert not closing.done()
    await store.answer_all()
    await closing
    assert await large == "LARGE"


@pytest.mark.parametrize("when", ["whole", "halves"])
async def test_a_lane_that_is_ended_leaves_nobody_waiting(when: str) -> None:
    """Its loop shuts down: also those are let go whose half of a refused group was not sent yet."""
    store = Store()
    tasks = store.submit(*"xyabcd")
    await store.answer()
    assert store.sent[-1] == ["a", "b", "c", "d"]
    if when == "halves":
        store.bad = {"d"}
        await store.answer()
        assert store.sent[-1] == ["a", "b"]
    for lane in list(store.commits._lanes._tasks):
        lane.cancel()
    await store.settle()
    assert [task.cancelled() for task in tasks[2:]] == [True] * 4


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("gone"),
        TooLargeError("The state", limit="state_bytes", size_bytes=2, limit_bytes=1),
        StaleCheckpointError("t", expected=1, found=None),
        NodeError("failed", node="n"),
        OSError(111, "refused"),
        asyncpg.UniqueViolationError("twice"),
        UnicodeEncodeError("utf-8", "x", 0, 1, "no"),
        RedisConnectionError("cut"),
        KeyError("k"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_same_error_for_another(error: BaseException) -> None:
    """Whatever it is made from: another instance with all that it says."""
    other = same_error(error)
    assert other is not error
    assert type(other) is type(error)
    assert (str(other), other.args, other.__dict__) == (str(error), error.args, error.__dict__)


async def test_who_waits_for_room_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind a write that was given up: nothing turns in circles until a lane is free."""
    monkeypatch.setattr(group_commit, "MAX_QUEUED", 2)
    store = Store()
    tasks = store.submit(*"abcdefgh")
    await store.settle()
    tasks[2].cancel()
    await store.settle()
    loop = asyncio.get_running_loop()
    assert not loop._ready  # type: ignore[attr-defined]
    await store.answer_all()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(str(answer) for answer in answers if isinstance(answer, str)) == list("ABDEFGH")
