"""Threads changed by hand, between runs: exact, in history, and never in a run's way."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from pydantic import Field

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message, ToolCallBlock, ToolResultBlock, merge_dict
from agentflow.errors import InvalidInputError, ThreadBusyError, ThreadNotFoundError
from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer
from agentflow.utils import END

T = {"thread_id": "t"}


class Facts(AgentState):
    facts: Annotated[dict[str, Any], merge_dict] = Field(default_factory=dict)
    count: int = 0


async def answer(state: Facts) -> Message:
    return Message.text_message(f"{len(state.context)}", role="assistant")


@pytest.fixture
def app(store: BaseCheckpointer) -> CompiledGraph[Facts]:
    return StateGraph(Facts).add_node("A", answer).set_entry_point("A").add_edge("A", END).compile(store)


async def texts(app: CompiledGraph[Facts]) -> list[str]:
    state = await app.aget_state(T)
    assert state is not None
    return [message.text() for message in state.context]


async def test_a_state_is_merged(app: CompiledGraph[Facts]) -> None:
    """Messages behind the others, dicts into dicts, null nothing; what was stays in history."""
    await app.ainvoke({"messages": "hi", "facts": {"a": {"x": 1}}, "count": 3}, T)
    state = await app.aupdate_state(
        T, {"messages": [Message.text_message("note")], "facts": {"a": {"y": 2}, "b": None}, "count": None}
    )
    assert state.facts == {"a": {"x": 1, "y": 2}}
    assert state.count == 3
    assert await texts(app) == ["hi", "1", "note"]
    assert await app.aget_state(T) == state
    before = await app.aget_state(T, checkpoint=2)
    assert before is not None
    assert before.facts == {"a": {"x": 1}}
    assert [entry.source for entry in await app.ahistory(T)] == ["update", "node", "input"]
    with pytest.raises(InvalidInputError):
        await app.aupdate_state(T, {"count": "many"})
    with pytest.raises(InvalidInputError):
        await app.aupdate_state(T, {"nonsense": 1})
    with pytest.raises(ThreadNotFoundError):
        await app.aupdate_state({"thread_id": "nowhere"}, {"count": 1})


async def test_messages_are_added_and_taken_out(app: CompiledGraph[Facts]) -> None:
    """Also where there was no thread; an id that is there already is refused."""
    first = Message.text_message("first", message_id="1")
    assert await app.aadd_messages(T, [first, Message.text_message("second")]) == 2
    with pytest.raises(InvalidInputError, match="already"):
        await app.aadd_messages(T, [first])
    await app.aremove_message(T, "1")
    with pytest.raises(ThreadNotFoundError):
        await app.aremove_message(T, "1")
    assert await texts(app) == ["second"]
    result = await app.ainvoke({"messages": "third"}, T)
    assert result["messages"][-1].text() == "2"


async def test_a_change_is_made_once(app: CompiledGraph[Facts]) -> None:
    """Under its name, whoever tries again."""
    once = T | {"run_id": "r", "rejoin_since": datetime.now(UTC) - timedelta(minutes=5)}
    for _ in range(2):
        await app.aadd_messages(once, [Message.text_message("only")])
    assert await texts(app) == ["only"]


async def test_a_state_is_cleared(app: CompiledGraph[Facts]) -> None:
    """To the graph's own beginning; the next run begins there."""
    await app.ainvoke({"messages": "hi", "count": 3}, T)
    await app.aclear_state(T)
    state = await app.aget_state(T)
    assert state is not None
    assert (state.context, state.count) == ([], 0)
    await app.ainvoke({"messages": "again"}, T)
    assert await texts(app) == ["again", "1"]


async def test_calls_without_an_answer_are_taken_out(app: CompiledGraph[Facts]) -> None:
    """And nothing else: neither calls that were answered nor what others said."""
    calls = [ToolCallBlock(id=name, name="tool") for name in ("a", "b")]
    done = [
        Message(role="assistant", content=[calls[0]]),
        Message.tool_message([ToolResultBlock(call_id="a", output="ok")]),
    ]
    await app.aadd_messages(T, [Message.text_message("hi"), *done])
    assert (await app.afix(T))[1] == 0
    await app.aadd_messages(T, [Message(role="assistant", content=[calls[1]])])
    state, count = await app.afix(T)
    assert count == 1
    assert [message.role for message in state.context] == ["user", "assistant", "tool"]


async def test_a_run_is_waited_for(store: BaseCheckpointer) -> None:
    """A change comes behind the run that holds the thread, or is refused when it must not wait."""
    began, go = asyncio.Event(), asyncio.Event()

    async def slow(_state: Facts) -> Message:
        began.set()
        await go.wait()
        return Message.text_message("answer", role="assistant")

    app = StateGraph(Facts).add_node("A", slow).set_entry_point("A").add_edge("A", END).compile(store)
    running = asyncio.create_task(app.ainvoke({"messages": "hi"}, T))
    await began.wait()
    with pytest.raises(ThreadBusyError):
        await app.aadd_messages(T | {"lock_wait": 0}, [Message.text_message("no")])
    adding = asyncio.create_task(app.aadd_messages(T, [Message.text_message("behind")]))
    go.set()
    await asyncio.gather(running, adding)
    assert await texts(app) == ["hi", "answer", "behind"]


def test_blocking_faces() -> None:
    """The same without asyncio."""
    graph = StateGraph(Facts).add_node("A", answer).set_entry_point("A").add_edge("A", END)
    app = graph.compile(InMemoryCheckpointer())
    assert app.add_messages(T, [Message.text_message("x", message_id="m")]) == 1
    assert app.update_state(T, {"count": 2}).count == 2
    app.remove_message(T, "m")
    assert app.fix(T)[1] == 0
    app.clear_state(T)
    state = app.get_state(T)
    assert state is not None
    assert state.count == 0
