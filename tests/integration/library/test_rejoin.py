"""A run that was begun before goes on with what is there: no message twice, no finished node again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.errors import ConflictError, InvalidInputError, NodeError, RunOvertakenError
from agentflow.storage.checkpointer import BaseCheckpointer
from agentflow.utils import END, interrupt

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


class Steps:
    """A graph of two nodes that counts their calls; the second breaks as often as it is told to."""

    def __init__(self, store: BaseCheckpointer, breaks: int = 0, asks: bool = False) -> None:
        self.calls: list[str] = []
        self.breaks = breaks
        self.asks = asks
        graph = StateGraph().add_node("ONE", self.one).add_node("TWO", self.two)
        self.app: CompiledGraph[Any] = (
            graph.set_entry_point("ONE").add_edge("ONE", "TWO").add_edge("TWO", END).compile(store)
        )

    async def one(self, _state: AgentState) -> Message:
        self.calls.append("one")
        return Message.text_message("one", role="assistant")

    async def two(self, _state: AgentState) -> Message:
        self.calls.append("two")
        if self.breaks:
            self.breaks -= 1
            raise OSError("broken")
        return Message.text_message(interrupt("?") if self.asks else "two", role="assistant")

    async def say(self, text: str, run_id: str, **config: Any) -> dict[str, Any]:
        given = {"messages": [Message.text_message(text)]}
        return await self.app.ainvoke(
            given, {"thread_id": "t", "run_id": run_id, "rejoin_since": LONG_AGO, **config}
        )


def texts(result: dict[str, Any]) -> list[str]:
    return [message.text() for message in result["messages"]]


async def test_a_first_attempt_begins(store: BaseCheckpointer) -> None:
    """Where nothing of the run is there, it runs as any other, on a new thread and on an old one."""
    steps = Steps(store)
    assert texts(await steps.say("a", "r1")) == ["a", "one", "two"]
    result = await steps.say("b", "r2")
    assert texts(result) == ["b", "one", "two"]
    assert result["meta"]["is_new_thread"] is False


async def test_a_run_that_is_over_answers_again(store: BaseCheckpointer) -> None:
    """The same answer, and nothing runs; also after others went on with the thread."""
    steps = Steps(store)
    await steps.say("before", "r0")
    first = await steps.say("a", "r1")
    again = await steps.say("a", "r1")
    assert texts(again) == texts(first) == ["a", "one", "two"]
    await steps.say("b", "r2")
    late = await steps.say("a", "r1")
    assert texts(late) == ["a", "one", "two"]
    assert late["meta"]["status"] == "completed"
    assert len(steps.calls) == 6


async def test_a_run_that_broke_off_goes_on(store: BaseCheckpointer) -> None:
    """What was done is not done again, the input is there once, and the whole run's messages are told."""
    steps = Steps(store, breaks=1)
    with pytest.raises(NodeError):
        await steps.say("a", "r1")
    result = await steps.say("a", "r1")
    assert texts(result) == ["a", "one", "two"]
    assert result["meta"]["is_new_thread"] is True
    assert steps.calls == ["one", "two", "two"]
    state = await steps.app.aget_state({"thread_id": "t"})
    assert state is not None
    assert [message.text() for message in state.context] == ["a", "one", "two"]


async def test_its_stream_tells_all_of_it(store: BaseCheckpointer) -> None:
    """Also what an earlier attempt said."""
    steps = Steps(store, breaks=1)
    with pytest.raises(NodeError):
        await steps.say("a", "r1")
    config = {"thread_id": "t", "run_id": "r1", "rejoin_since": LONG_AGO}
    chunks = [chunk async for chunk in steps.app.astream({"messages": "a"}, config)]
    assert [chunk.message.text() for chunk in chunks if chunk.message] == ["a", "one", "two"]


async def test_a_run_that_asks_asks_again(store: BaseCheckpointer) -> None:
    """A pause is an end too: its retry gets the same answer and asks nothing new."""
    steps = Steps(store, asks=True)
    first = await steps.say("a", "r1")
    again = await steps.say("a", "r1")
    assert first["meta"]["status"] == again["meta"]["status"] == "interrupted_before"
    assert texts(first) == texts(again)
    assert steps.calls == ["one", "two"]


async def test_a_stopped_run_goes_on(store: BaseCheckpointer) -> None:
    """One that was stopped for its process's sake is not over."""
    steps = Steps(store)

    async def one(_state: AgentState) -> Message:
        await steps.app.astop({"thread_id": "t"})
        return Message.text_message("one", role="assistant")

    graph = StateGraph().add_node("ONE", one).add_node("TWO", steps.two)
    steps.app = graph.set_entry_point("ONE").add_edge("ONE", "TWO").add_edge("TWO", END).compile(store)
    stopped = await steps.say("a", "r1")
    assert stopped["meta"]["interrupt_reason"] == "stop_requested"
    assert texts(await steps.say("a", "r1")) == ["a", "one", "two"]


async def test_an_overtaken_run_is_told(store: BaseCheckpointer) -> None:
    """Somebody else began a turn before this run had ended: it must not run on their state."""
    steps = Steps(store, breaks=1)
    with pytest.raises(NodeError):
        await steps.say("a", "r1")
    await steps.say("b", "r2")
    with pytest.raises(RunOvertakenError, match="Another run"):
        await steps.say("a", "r1")


async def test_a_result_can_be_read_again(store: BaseCheckpointer) -> None:
    """As it was answered, whatever came later; nothing runs, and nothing is told of a run that never was."""
    steps = Steps(store)
    first = await steps.say("a", "r1")
    await steps.say("b", "r2")
    config = {"thread_id": "t", "run_id": "r1", "rejoin_since": LONG_AGO}
    found = await steps.app.aresult(config, response_granularity="full")
    assert found is not None
    assert found["meta"] == first["meta"]
    assert texts(found) == [message.text() for message in found["state"].context] == ["a", "one", "two"]
    assert await steps.app.aresult(config | {"run_id": "r9"}) is None
    assert await steps.app.aresult({"thread_id": "nowhere", "run_id": "r1"}) is None
    assert len(steps.calls) == 4


async def test_chunks_by_callback(store: BaseCheckpointer) -> None:
    """An invoke that tells what it does tells the same as a stream."""
    told: list[Any] = []
    await Steps(store).app.ainvoke({"messages": "a"}, {"thread_id": "t"}, on_chunk=told.append)
    assert [(chunk.seq, chunk.message.text()) for chunk in told] == [(0, "a"), (1, "one"), (2, "two")]


async def test_undone(store: BaseCheckpointer) -> None:
    """The thread is as the run found it; other runs' work is never undone with it."""
    steps = Steps(store)
    await steps.say("a", "r1")
    before = await steps.app.aget_state({"thread_id": "t"})
    await steps.say("b", "r2")
    assert await steps.app.aundo({"thread_id": "t", "run_id": "r2"})
    after = await steps.app.aget_state({"thread_id": "t"})
    assert after == before
    assert not await steps.app.aundo({"thread_id": "t", "run_id": "r9"})
    with pytest.raises(ConflictError, match="after this run"):
        await steps.app.aundo({"thread_id": "t", "run_id": "r1"})


async def test_undoing_a_thread_s_first_run(store: BaseCheckpointer) -> None:
    """Leaves a thread without messages."""
    steps = Steps(store)
    await steps.say("a", "r1")
    assert await steps.app.aundo({"thread_id": "t", "run_id": "r1", "rejoin_since": LONG_AGO})
    state = await steps.app.aget_state({"thread_id": "t"})
    assert state is not None
    assert state.context == []
    assert texts(await steps.say("b", "r2")) == ["b", "one", "two"]


async def test_a_time_without_its_zone(store: BaseCheckpointer) -> None:
    """Is refused, since it could mean any."""
    with pytest.raises(InvalidInputError, match="time zone"):
        await Steps(store).say("a", "r1", rejoin_since=datetime(2026, 1, 1))  # noqa: DTZ001
