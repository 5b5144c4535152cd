"""Which questions go in one statement, and who is told what."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.group_read import _CROWD, GroupRead, Question
from agentflow.storage.checkpointer.testing.case import new_scope
from agentflow.storage.checkpointer.thread_memory import key_of
from agentflow.storage.checkpointer.types import Scope


@dataclass
class Asked:
    """Answers questions when the test says so."""

    sent: list[list[str]] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reads: GroupRead[str] = GroupRead(self.send, most=10)

    async def send(self, placement: int, questions: Sequence[Question]) -> Mapping[int, str]:
        self.sent.append([thread_id for _, thread_id in questions])
        assert {scope.placement for scope, _ in questions} == {placement}
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate
        return {i: thread_id.upper() for i, (_, thread_id) in enumerate(questions) if thread_id != "none"}

    def ask(self, scope: Scope, *names: str) -> list[asyncio.Task[str | None]]:
        return [asyncio.create_task(self.reads.ask(key_of(scope, name), scope, name)) for name in names]

    async def answer(self, error: Exception | None = None) -> None:
        await settled()
        gates, self.waiting = self.waiting, []
        for gate in gates:
            if error is None:
                gate.set_result(None)
            else:
                gate.set_exception(error)
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_the_same_shares_until_it_is_sent() -> None:
    """A stampede is two: the first one's and all others'; who comes after they were sent gets another."""
    asked, scope = Asked(), new_scope()
    first = asked.ask(scope, *["a"] * 20)
    await asked.answer()
    assert asked.sent == [["a"], ["a"]]
    late = asked.ask(scope, "a", "a", "none")
    await asked.answer()
    await asked.answer()
    assert [await task for task in [*first, *late]] == ["A"] * 22 + [None]
    assert asked.sent == [["a"], ["a"], ["a", "none"]]


async def test_a_placement_a_statement() -> None:
    """And principals do not share."""
    asked, one, other = Asked(), new_scope(), Scope(placement=3)
    alone = Scope(one.tenant_id, one.placement, principal="p")
    tasks = [*asked.ask(one, "a"), *asked.ask(other, "a"), *asked.ask(alone, "a")]
    for _ in range(4):
        await asked.answer()
    assert [await task for task in tasks] == ["A"] * 3
    assert sum(len(names) for names in asked.sent) == 3


async def test_an_error_reaches_all_who_asked() -> None:
    """Each as an error of their own; who asked later get an answer, and one who gave up disturbs nobody."""
    asked, scope = Asked(), new_scope()
    tasks = asked.ask(scope, "x", "a", "a", "a", "b")
    tasks[1].cancel()
    await asked.answer(StoreUnavailableError("gone"))
    await asked.answer(StoreUnavailableError("gone"))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[1], asyncio.CancelledError)
    told = [answers[0], *answers[2:]]
    assert [type(answer) for answer in told] == [StoreUnavailableError] * 4
    assert len(set(map(id, told))) == 4
    (again,) = asked.ask(scope, "a")
    await asked.answer()
    assert await again == "A"


async def test_a_few_wait_for_the_answer_under_way() -> None:
    """Who asks alone is asked for at once; those behind go together, and are told their own answers."""
    asked, scope = Asked(), new_scope()
    tasks = asked.ask(scope, "a")
    await settled()
    tasks += asked.ask(scope, "b", "c")
    await settled()
    assert asked.sent == [["a"]]
    await asked.answer()
    assert asked.sent == [["a"], ["b", "c"]]
    await asked.answer()
    assert [await task for task in tasks] == ["A", "B", "C"]


async def test_a_crowd_does_not_wait() -> None:
    """The other lane takes it, although the first has no answer yet."""
    asked, scope = Asked(), new_scope()
    crowd = [f"t{i}" for i in range(_CROWD)]
    tasks = asked.ask(scope, "first")
    await settled()
    tasks += asked.ask(scope, *crowd)
    await settled()
    assert asked.sent == [["first"], crowd]
    await asked.answer()
    assert [await task for task in tasks] == ["FIRST", *(name.upper() for name in crowd)]
