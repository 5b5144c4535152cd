"""Forks and replays: an older state becomes the latest, exactly, and history keeps both."""

import asyncio
from typing import Annotated, Any

import pytest
from pydantic import Field

from agentflow.core.graph import CompiledGraph, StateGraph, ToolNode
from agentflow.core.graph.tool_node import route_tools
from agentflow.core.state import AgentState, Message, RemoveMessage, ToolCallBlock
from agentflow.core.state.reducers import append_items
from agentflow.errors import (
    CheckpointNotFoundError,
    ConflictError,
    EmptyInputError,
    InvalidIdError,
    InvalidInputError,
    ThreadNotFoundError,
)
from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, Scope
from agentflow.utils import END

T = {"thread_id": "t"}


class Notes(AgentState):
    notes: Annotated[list[str], append_items] = Field(default_factory=list)


def busy_graph(store: BaseCheckpointer) -> CompiledGraph[Notes]:
    """Each turn says something, edits the oldest message and forgets one."""

    async def say(state: Notes) -> dict[str, Any]:
        text = state.context[-1].text()
        return {"messages": [Message.text_message(f"re {text}", role="assistant")], "notes": [text]}

    async def edit(state: Notes) -> list[Any]:
        first = state.context[0]
        changes: list[Any] = [first.model_copy(update={"content": Message.text_message("edited").content})]
        if len(state.context) > 4:
            changes.append(RemoveMessage(state.context[2].message_id))
        return changes

    graph = StateGraph(Notes).add_node("SAY", say).add_node("EDIT", edit)
    return graph.set_entry_point("SAY").add_edge("SAY", "EDIT").add_edge("EDIT", END).compile(store)


async def state_at(app: CompiledGraph[Any], seq: int | None = None, thread_id: str = "t") -> Any:
    state = await app.aget_state({"thread_id": thread_id}, checkpoint=seq)
    assert state is not None
    return state


async def test_every_version_forks_exactly(store: BaseCheckpointer) -> None:
    """In place and to a new thread: fields and messages, edits and removals too; what was stays."""
    app = busy_graph(store)
    for i in range(5):
        await app.ainvoke({"messages": f"m{i}"}, T | {"user_id": "u", "thread_metadata": {"a": 1}})
    count = len(await app.ahistory(T))
    states = [await state_at(app, seq) for seq in range(1, count + 1)]
    for i, seq in enumerate(range(count, 0, -2)):
        forked = await app.afork(T, checkpoint=seq)
        assert forked == {"thread_id": "t", "checkpoint": count + i + 1}
        assert await state_at(app) == states[seq - 1]
        other = f"t-{seq}"
        assert await app.afork(T, checkpoint=seq, to_thread=other) == {"thread_id": other, "checkpoint": 1}
        copy = await state_at(app, None, other)
        meta = copy.execution_meta.model_copy(update={"thread_id": "t"})
        assert copy.execution_meta.thread_id == other
        assert copy.model_copy(update={"execution_meta": meta}) == states[seq - 1]
        info = await store.get_thread(Scope(), other)
        assert info is not None
        assert (info.user_id, info.metadata) == ("u", {"a": 1})
    assert [await state_at(app, seq) for seq in range(1, count + 1)] == states
    newest = (await app.ahistory(T))[0]
    assert (newest.source, newest.parent, newest.node) == ("fork", 1 if count % 2 else 2, "")


async def test_a_fork_with_values_goes_on(store: BaseCheckpointer) -> None:
    """Changed through the reducers on the way; both threads live on by themselves."""
    app = busy_graph(store)
    await app.ainvoke({"messages": "one"}, T)
    await app.ainvoke({"messages": "two"}, T)
    extra = Message.text_message("extra", role="assistant")
    await app.afork(T, checkpoint=3, to_thread="new", values={"notes": ["forked"], "messages": [extra]})
    await app.ainvoke({"messages": "three"}, {"thread_id": "new"})
    texts = [message.text() for message in (await state_at(app, None, "new")).context]
    assert texts == ["edited", "re one", "three", "re three"]  # of five messages a turn forgets the third
    assert (await state_at(app, None, "new")).notes == ["one", "forked", "three"]
    assert (await state_at(app)).notes == ["one", "two"]


async def test_running_again_from_a_checkpoint(store: BaseCheckpointer) -> None:
    """What was unfinished there runs again, as a new branch of the same log."""
    app = busy_graph(store)
    await app.ainvoke({"messages": "one"}, T)
    before = await state_at(app)
    answer = await app.ainvoke(None, T | {"checkpoint": 2})
    assert answer["meta"]["status"] == "completed"
    history = list(await app.ahistory(T))[::-1]
    assert [(entry.seq, entry.parent, entry.source) for entry in history[3:]] == [
        (4, 2, "fork"),
        (5, 4, "node"),
    ]
    assert await state_at(app) == before
    assert await state_at(app, 3) == before


async def test_saying_something_else_from_a_checkpoint(store: BaseCheckpointer) -> None:
    """A message sent from an older version: the turns behind it are not there for this one."""
    app = busy_graph(store)
    await app.ainvoke({"messages": "one"}, T)
    await app.ainvoke({"messages": "two"}, T)
    chunks = [c async for c in app.astream({"messages": "instead"}, T | {"checkpoint": 3}) if c.message]
    assert [chunk.message.text() for chunk in chunks if chunk.message][:2] == ["instead", "re instead"]
    assert (await state_at(app)).notes == ["one", "instead"]
    assert (await state_at(app, 6)).notes == ["one", "two"]


async def test_tools_run_anew_in_a_replay(store: BaseCheckpointer) -> None:
    """Under other keys: it is another call. A crash within the replay keeps those."""
    keys: list[str] = []
    hang = asyncio.Event()

    async def pay(tool_key: str) -> str:
        keys.append(tool_key)
        if len(keys) == 2:
            hang.set()
            await asyncio.Event().wait()
        return "paid"

    def main(state: AgentState) -> Message:
        if state.context[-1].role == "user":
            return Message(role="assistant", content=[ToolCallBlock(id="1", name="pay")])
        return Message.text_message("done", role="assistant")

    graph = StateGraph().add_node("MAIN", main).add_node("TOOL", ToolNode([pay]))
    graph.set_entry_point("MAIN").add_edge("TOOL", "MAIN")
    app = graph.add_conditional_edges("MAIN", route_tools("TOOL"), ["TOOL", END]).compile(store)
    await app.ainvoke({"messages": "go"}, T)
    replay = asyncio.create_task(app.ainvoke(None, T | {"checkpoint": 2}))
    await hang.wait()
    replay.cancel()
    await asyncio.gather(replay, return_exceptions=True)
    await app.ainvoke(None, T)
    assert keys[0] != keys[1] == keys[2]
    await app.afork(T, checkpoint=2, to_thread="other")
    await app.ainvoke(None, {"thread_id": "other"})
    await app.afork(T, checkpoint=2)
    await app.ainvoke(None, T)
    assert len(set(keys)) == 4


async def test_what_cannot_be_forked(store: BaseCheckpointer) -> None:
    """Each refusal is typed, and leaves every thread as it was."""
    app = busy_graph(store)
    await app.ainvoke({"messages": "one"}, T)
    await app.ainvoke({"messages": "one"}, {"thread_id": "taken"})
    before = [await store.load(Scope(), thread_id) for thread_id in ("t", "taken")]
    with pytest.raises(CheckpointNotFoundError):
        await app.afork(T, checkpoint=9)
    with pytest.raises(ThreadNotFoundError):
        await app.afork({"thread_id": "missing"}, checkpoint=1)
    with pytest.raises(ConflictError, match="taken"):
        await app.afork(T, checkpoint=1, to_thread="taken")
    with pytest.raises(InvalidIdError):
        await app.afork(T, checkpoint=1, to_thread="a\0b")
    with pytest.raises(InvalidIdError):
        await app.afork({}, checkpoint=1)
    for values in ({"unknown": 1}, {"notes": 5}):
        with pytest.raises(InvalidInputError):
            await app.afork(T, checkpoint=1, values=values)
    with pytest.raises(CheckpointNotFoundError):
        await app.ainvoke(None, T | {"checkpoint": 9})
    with pytest.raises(ThreadNotFoundError):
        await app.ainvoke({"messages": "x"}, {"thread_id": "missing", "checkpoint": 1})
    with pytest.raises(EmptyInputError):
        await app.ainvoke(None, T | {"checkpoint": 3})
    with pytest.raises(InvalidInputError, match="checkpoint"):
        await app.ainvoke(None, T | {"checkpoint": "3"})
    assert [await store.load(Scope(), thread_id) for thread_id in ("t", "taken")] == before


async def test_rollback_does_not_undo_a_fork(store: BaseCheckpointer) -> None:
    """A forked state may say that it runs; nobody ran since."""
    app = busy_graph(store)
    await app.ainvoke({"messages": "one"}, T)
    await app.afork(T, checkpoint=2)
    await app.ainvoke({"messages": "two"}, T | {"when_busy": "rollback"})
    assert (await state_at(app)).notes == ["one", "two"]


def test_blocking_face() -> None:
    """`fork` is `afork` for programs without a loop."""
    app = busy_graph(InMemoryCheckpointer())
    app.invoke({"messages": "one"}, T)
    assert app.fork(T, checkpoint=1, values={"notes": ["x"]}) == {"thread_id": "t", "checkpoint": 4}
    assert app.invoke(None, T)["meta"]["status"] == "completed"
