"""What a caller wants done before a run stores anything: a service's own record of it."""

import asyncio
from typing import Any

import pytest

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.errors import ConflictError, NothingToResumeError, ThreadBusyError
from agentflow.storage.checkpointer import BaseCheckpointer, Scope
from agentflow.utils import END

THREAD = {"thread_id": "t"}


async def answer(_state: AgentState) -> Message:
    return Message.text_message("yes", role="assistant")


@pytest.fixture
def app(store: BaseCheckpointer) -> CompiledGraph[Any]:
    return StateGraph().add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END).compile(store)


def say(text: str) -> dict[str, Any]:
    return {"messages": [Message.text_message(text)]}


async def test_the_input_waits_and_the_thread_is_held(
    app: CompiledGraph[Any], store: BaseCheckpointer
) -> None:
    """While it is waited for nothing is stored and nobody else gets the thread; then the run goes on."""
    waits, may_go = asyncio.Event(), asyncio.Event()

    async def before_input() -> None:
        waits.set()
        await may_go.wait()

    run = asyncio.create_task(app.ainvoke(say("hi"), THREAD, before_input=before_input))
    await waits.wait()
    assert await store.get_thread(Scope(), "t") is None
    with pytest.raises(ThreadBusyError):
        await app.ainvoke(say("me"), {**THREAD, "when_busy": "reject"})
    may_go.set()
    assert [message.text() for message in (await run)["messages"]] == ["hi", "yes"]


@pytest.mark.parametrize("error", [OSError("no record"), ConflictError("not mine")])
@pytest.mark.parametrize("when_busy", ["enqueue", "rollback"])
async def test_what_it_raises_ends_the_run(app: CompiledGraph[Any], error: Exception, when_busy: str) -> None:
    """With the thread as it was before, also what a rollback would have undone, and free for others."""
    await app.ainvoke(say("first"), THREAD)
    asked = 0

    async def before_input() -> None:
        nonlocal asked
        asked += 1
        raise error

    with pytest.raises(type(error), match=str(error)):
        await app.ainvoke(say("hi"), {**THREAD, "when_busy": when_busy}, before_input=before_input)
    assert asked > 0
    state = await app.aget_state(THREAD)
    assert state is not None
    assert [message.text() for message in state.context] == ["first", "yes"]
    again = await app.ainvoke(say("again"), {**THREAD, "when_busy": "reject"})
    assert [message.text() for message in again["messages"]] == ["again", "yes"]


async def test_a_refused_input_waits_for_nothing(app: CompiledGraph[Any]) -> None:
    """Who is refused anyhow is told at once."""

    async def before_input() -> None:
        raise AssertionError("asked for nothing")

    with pytest.raises(NothingToResumeError):
        await app.ainvoke({"resume": "yes"}, THREAD, before_input=before_input)
