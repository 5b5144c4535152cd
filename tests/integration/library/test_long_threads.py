"""Threads of any length, used from the library: imported, exported, imported again."""

from collections.abc import AsyncIterator

import pytest

from agentflow.core.graph import CompiledGraph, Imported, StateGraph
from agentflow.core.state import AgentState, Message, ToolCallBlock, ToolResultBlock
from agentflow.errors import InvalidInputError, ThreadBusyError, ThreadNotFoundError
from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer
from agentflow.utils import END

T = {"thread_id": "t"}


def echo(state: AgentState) -> Message:
    return Message.text_message(f"{len(state.context)} messages", role="assistant")


@pytest.fixture(params=["memory", "postgres"])
async def app(
    request: pytest.FixtureRequest, database_url: str, redis_url: str
) -> AsyncIterator[CompiledGraph[AgentState]]:
    in_memory = request.param == "memory"
    store: BaseCheckpointer = (
        InMemoryCheckpointer() if in_memory else PgCheckpointer(database_url, redis_url=redis_url)
    )
    graph = StateGraph().add_node("MAIN", echo).set_entry_point("MAIN").add_edge("MAIN", END)
    async with graph.compile(store) as compiled:
        yield compiled


def said(n: int) -> Message:
    return Message.text_message(str(n), message_id=f"id-{n}")


async def exported(app: CompiledGraph[AgentState]) -> list[str]:
    return [message.message_id async for message in app.aexport_messages(T)]


async def test_runs_and_imports_take_turns(app: CompiledGraph[AgentState]) -> None:
    """Each goes on from what the other left; what is imported twice is there once, and forks know it."""
    batches: list[int] = []
    done = await app.aimport_messages(
        T, (said(n) for n in range(1200)), on_batch=lambda done: batches.append(done.read)
    )
    assert (done, batches) == (Imported(1200, 1200, 0), [500, 1000, 1200])
    result = await app.ainvoke({"messages": [said(5000)]}, T)
    assert result["messages"][-1].text() == "1201 messages"
    again = await app.aimport_messages(T, [said(n) for n in range(1300)])
    assert again == Imported(1300, 100, 1200)
    result = await app.ainvoke({"messages": [said(5001)]}, T)
    assert result["messages"][-1].text() == "1303 messages"
    ids = await exported(app)
    assert ids[:1201] == [f"id-{n}" for n in (*range(1200), 5000)]
    assert ids[1202:1302] == [f"id-{n}" for n in range(1200, 1300)]
    state = await app.aget_state(T)
    assert state is not None
    assert [message.message_id for message in state.context] == ids
    before = await app.aget_state(T, checkpoint=2)
    assert before is not None
    assert len(before.context) == 1000


async def test_batches_end_between_exchanges(app: CompiledGraph[AgentState]) -> None:
    """A call and its result join in one checkpoint, also where a batch would have been full."""
    talk = [said(n) for n in range(499)]
    talk.append(Message(role="assistant", content=[ToolCallBlock(id="a", name="look")]))
    talk += [said(999), Message.tool_message([ToolResultBlock(call_id="a", output="x")])]
    await app.aimport_messages(T, talk, answered_only=True)
    first = await app.aget_state(T, checkpoint=1)
    assert first is not None
    assert len(first.context) == 502


async def test_results_that_nobody_waits_for(app: CompiledGraph[AgentState]) -> None:
    """Refused, also a second one; one for a call that was there before is taken."""
    waiting = Message(role="assistant", content=[ToolCallBlock(id="a", name="look")])
    answer = [Message.tool_message([ToolResultBlock(call_id="a", output="x")]) for _ in range(2)]
    with pytest.raises(InvalidInputError, match="'a'"):
        await app.aimport_messages(T, answer[:1])
    await app.aimport_messages(T, [said(1), waiting])
    with pytest.raises(InvalidInputError, match="'b' has no result"):
        await app.aimport_messages(
            T,
            [Message(role="assistant", content=[ToolCallBlock(id="b", name="look")])],
            answered_only=True,
        )
    await app.aimport_messages(T, answer[:1], answered_only=True)
    with pytest.raises(InvalidInputError, match="'a'"):
        await app.aimport_messages(T, answer[1:])
    assert len(await exported(app)) == 3


async def test_the_thread_is_held(app: CompiledGraph[AgentState]) -> None:
    """A run that will not wait is refused while messages come; whatever they raise, it is free again."""

    async def coming() -> AsyncIterator[Message]:
        yield said(1)
        with pytest.raises(ThreadBusyError):
            await app.ainvoke({"messages": "hi"}, {**T, "when_busy": "reject"})
        raise LookupError

    with pytest.raises(LookupError):
        await app.aimport_messages(T, coming())
    with pytest.raises(ThreadNotFoundError):
        await exported(app)
    assert (await app.ainvoke({"messages": "hi"}, T))["messages"][-1].text() == "1 messages"


def test_blocking_faces(database_url: str) -> None:
    """Iterators in, iterators out."""
    graph = StateGraph().add_node("MAIN", echo).set_entry_point("MAIN").add_edge("MAIN", END)
    app = graph.compile(PgCheckpointer(database_url, redis_url=None))
    try:
        assert app.import_messages(T, (said(n) for n in range(3))).added == 3
        assert [message.text() for message in app.export_messages(T)] == ["0", "1", "2"]
    finally:
        app.close()
