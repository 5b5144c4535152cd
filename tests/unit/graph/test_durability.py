"""Durability modes: the same in the end; what is durable when; how a write that fails ends the run."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from agentflow.core.graph import CompiledGraph, StateGraph, ToolNode
from agentflow.core.state import AgentState, Message, RemoveMessage, ToolCallBlock
from agentflow.core.state.reducers import append_items
from agentflow.errors import (
    AgentFlowError,
    InvalidInputError,
    NodeError,
    StaleCheckpointError,
    StoreUnavailableError,
    TooLargeError,
)
from agentflow.storage.checkpointer import InMemoryCheckpointer, Scope
from agentflow.storage.checkpointer.types import CheckpointWrite, Committed
from agentflow.utils import END, START, Command, interrupt

T = {"thread_id": "t", "run_id": "r"}
MODES = ["sync", "async", "exit"]


class Notes(AgentState):
    notes: Annotated[list[int], append_items] = Field(default_factory=list)
    last: dict[str, Any] = Field(default_factory=dict)


# --- the same in the end ------------------------------------------------------------------------

# What a node does, by a letter: say something, say it again differently, forget it, take notes, ask, fail.
DEEDS = st.lists(st.sampled_from("saernif"), min_size=1, max_size=3)
STEPS = st.lists(st.lists(DEEDS, min_size=1, max_size=3), min_size=1, max_size=6)


def node_of(name: str, deeds: list[str]) -> Callable[[Notes], Any]:
    async def work(state: Notes) -> Any:
        if "f" in deeds and not state.last.get("failed"):
            raise LookupError(name)
        said: list[Any] = []
        for i, deed in enumerate(deeds):
            ids = [message.message_id for message in state.context]
            if deed == "s":
                said.append(Message.text_message(name, role="assistant", message_id=f"{name}-{i}"))
            elif deed == "a" and ids:
                said.append(Message.text_message(f"edited by {name}", message_id=ids[len(ids) // 2]))
            elif deed == "e" and ids:
                said.append(RemoveMessage(ids[len(ids) // 3]))
        if "i" in deeds:
            said.append(Message.text_message(str(interrupt(name)), message_id=f"{name}-asked"))
        notes = [len(name)] if "n" in deeds else []
        return {"messages": said, "notes": notes, **({"last": {name: [1]}} if "r" in deeds else {})}

    return work


def graph_of(steps: list[list[list[str]]], store: InMemoryCheckpointer) -> CompiledGraph[Notes]:
    """Steps one after the other, the nodes of each side by side, joined by a node that does nothing."""
    graph: StateGraph[Notes] = StateGraph(Notes)
    before = START
    for i, nodes in enumerate(steps):
        graph.add_node(f"join{i}", lambda state: None)
        for j, deeds in enumerate(nodes):
            name = f"n{i}.{j}"
            graph.add_node(name, node_of(name, deeds)).add_edge(before, name).add_edge(name, f"join{i}")
        before = f"join{i}"
    return graph.add_edge(before, END).compile(store)


async def played(steps: list[list[list[str]]], mode: str) -> list[Any]:
    """What two turns show their caller, and what is stored after each run."""
    app = graph_of(steps, InMemoryCheckpointer())
    seen: list[Any] = []
    config = T | {"durability": mode, "recursion_limit": 100}
    for turn in range(2):
        answer: Any = None
        inputs: Any = {"messages": [Message.text_message("go", message_id=f"u{turn}")]}
        for _ in range(25):
            try:
                answer = await app.ainvoke(inputs, config)
                seen.append([message.message_id for message in answer["messages"]])
                if answer["meta"]["status"] == "completed":
                    break
                state = await app.aget_state(T)
                assert state is not None
                pauses = (state.execution_meta.interrupt_data or {}).get("interrupts", [])
                inputs = {"resume": {pause["id"]: pause["value"] for pause in pauses}}
            except NodeError as error:
                seen.append(error.node)
                inputs = {"state": {"last": {"failed": True}}}
            stored = await app.aget_state(T)
            assert stored is not None
            seen.append(_shape(stored))
    return seen


def _shape(state: Notes) -> Any:
    meta = state.execution_meta.model_dump(exclude={"interrupt_data", "internal_data"})
    context = [(message.message_id, message.role, message.text()) for message in state.context]
    return context, state.notes, state.last, meta


@given(STEPS)
async def test_all_modes_end_alike(steps: list[list[list[str]]]) -> None:
    """Random graphs whose nodes say, edit, remove, note, ask and fail: same answers, same stored states."""
    first, *others = [await played(steps, mode) for mode in MODES]
    assert others == [first, first]


async def test_history_of_each_mode() -> None:
    """`async` keeps every step; `exit` the input and one for all that followed; both read back exactly."""
    steps = [[["s", "n"]], [["a"], ["s"]], [["e", "s"]]]
    states = {}
    for mode in MODES:
        app = graph_of(steps, InMemoryCheckpointer())
        said = Message.text_message("go", message_id="u")
        await app.ainvoke({"messages": [said]}, T | {"durability": mode})
        history = [entry.source for entry in await app.ahistory(T)][::-1]
        states[mode] = [await app.aget_state(T, checkpoint=i + 1) for i in range(len(history))]
        if mode == "exit":
            assert history == ["input", "node"]
        else:
            assert len(history) == 7
    shapes = {mode: [_shape(state) for state in found if state] for mode, found in states.items()}
    assert shapes["async"] == shapes["sync"]
    assert shapes["exit"] == [shapes["sync"][0], shapes["sync"][-1]]


# --- what is durable when -----------------------------------------------------------------------


class Slow(InMemoryCheckpointer):
    """Answers when it is told to, and can refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuse: dict[str, AgentFlowError] = {}
        self.under_way = self.most = 0

    def session(self, *args: Any, **kwargs: Any) -> Any:
        session = super().session(*args, **kwargs)
        append = session.append

        async def slow(write: CheckpointWrite) -> Committed:
            self.under_way += 1
            assert self.under_way == 1, "written side by side"
            try:
                await self.gate.wait()
                if error := self.refuse.pop(write.node, None):
                    raise error
                return await append(write)
            finally:
                self.under_way -= 1

        session.append = slow  # type: ignore[method-assign]
        return session


def chain(store: InMemoryCheckpointer, count: int, on: Callable[[int], Any] = lambda i: None) -> Any:
    """Nodes n0, n1, ... one after the other; each calls `on` first."""
    graph = StateGraph()

    def node(i: int) -> Callable[[AgentState], Any]:
        async def work(state: AgentState) -> Message:
            found = on(i)
            if asyncio.iscoroutine(found):
                await found
            return Message.text_message(f"n{i}", role="assistant")

        return work

    for i in range(count):
        graph.add_node(f"n{i}", node(i)).add_edge(f"n{i - 1}" if i else START, f"n{i}")
    return graph.add_edge(f"n{count - 1}", END).compile(store)


async def heads(store: InMemoryCheckpointer) -> int:
    found = await store.load(Scope(), "t")
    return found.head if found else 0


async def test_async_runs_ahead_but_not_far() -> None:
    """A node starts while the checkpoint before is on its way, eight at most; all are durable at the end."""
    store, began = Slow(), []
    stuck = asyncio.Event()

    def on(i: int) -> None:
        began.append(i)
        if i == 0:
            store.gate.clear()
        if i == 8:
            stuck.set()

    run = asyncio.create_task(chain(store, 15, on).ainvoke({"messages": "go"}, T | {"durability": "async"}))
    await stuck.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    assert began == list(range(9)), "eight behind, and one that waits to be"
    assert await heads(store) == 1
    assert not run.done()
    store.gate.set()
    assert (await run)["meta"]["status"] == "completed"
    assert await heads(store) == 16


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("gone"),
        StaleCheckpointError("t", expected=2, found=7),
        TooLargeError("It", limit="state_bytes", size_bytes=2, limit_bytes=1),
    ],
    ids=["away", "stale", "too large"],
)
async def test_async_a_failed_write_ends_the_run(error: AgentFlowError) -> None:
    """With its error; what was acknowledged stays, nothing is written behind the gap, and it can go on."""
    store = Slow()
    store.refuse["n1"] = error
    app = chain(store, 6)
    with pytest.raises(type(error)):
        await app.ainvoke({"messages": "go"}, T | {"durability": "async"})
    state = await app.aget_state(T)
    assert [message.text() for message in state.context] == ["go", "n0"]
    status = "error" if isinstance(error, TooLargeError) else "running"
    assert state.execution_meta.status == status
    answer = await app.ainvoke(None, T | {"durability": "async"})
    assert [message.text() for message in answer["messages"]] == ["n1", "n2", "n3", "n4", "n5"]


async def test_exit_a_failed_write_leaves_the_input() -> None:
    """What was held back and cannot be stored is the run's error; it goes on from its input."""
    app = chain(Slow(), 3, lambda i: None)
    store = app.checkpointer
    store.refuse |= {"n2": StoreUnavailableError("gone")}
    with pytest.raises(StoreUnavailableError):
        await app.ainvoke({"messages": "go"}, T | {"durability": "exit"})
    assert await heads(store) == 1
    assert len((await app.ainvoke(None, T))["messages"]) == 3


@pytest.mark.parametrize("mode", MODES)
async def test_an_error_of_a_node_is_recorded(mode: str) -> None:
    """With the steps before it, in every mode."""

    def fail(i: int) -> None:
        if i == 2:
            raise LookupError("no")

    app = chain(InMemoryCheckpointer(), 3, fail)
    with pytest.raises(NodeError):
        await app.ainvoke({"messages": "go"}, T | {"durability": mode})
    state = await app.aget_state(T)
    assert [message.text() for message in state.context] == ["go", "n0", "n1"]
    assert state.execution_meta.status == "error"


@pytest.mark.parametrize("mode", MODES)
async def test_cancelled(mode: str) -> None:
    """The run ends at its last durable step, and no write comes after it let the thread go."""
    hangs = asyncio.Event()
    again = [False]

    async def hang(i: int) -> None:
        if i == 2 and not again[0]:
            hangs.set()
            await asyncio.Event().wait()

    store = Slow()
    app = chain(store, 3, hang)
    run = asyncio.create_task(app.ainvoke({"messages": "go"}, T | {"durability": mode}))
    await hangs.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert await heads(store) == {"sync": 3, "async": 3, "exit": 1}[mode]
    again[0] = True
    assert (await app.ainvoke(None, T | {"durability": mode}))["meta"]["status"] == "completed"
    state = await app.aget_state(T)
    assert [message.text() for message in state.context] == ["go", "n0", "n1", "n2"]


@pytest.mark.parametrize("mode", MODES)
async def test_stop_reaches_every_mode(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a run that writes nothing meanwhile: it looks now and then, here each time."""
    monkeypatch.setattr("agentflow.core.graph.thread._LOOK_EVERY_S", 0.0)
    store, began, go_on = InMemoryCheckpointer(), asyncio.Event(), asyncio.Event()

    async def wait(i: int) -> None:
        began.set()
        await go_on.wait()

    app = chain(store, 100, wait)
    config = T | {"durability": mode, "recursion_limit": 1000}
    run = asyncio.create_task(app.ainvoke({"messages": "go"}, config))
    await began.wait()
    await app.astop(T)
    go_on.set()
    answer = await run
    assert answer["meta"]["interrupt_reason"] == "stop_requested"
    state = await app.aget_state(T)
    assert [m.text() for m in state.context] == [m.text() for m in answer["messages"]]
    assert len(state.context) < 100


@pytest.mark.parametrize("mode", MODES)
async def test_tools_are_as_durable_in_every_mode(mode: str) -> None:
    """Their call before they start, their answer before the next node: a crash there repeats nothing."""
    hangs, runs = asyncio.Event(), []

    def main(state: AgentState) -> Message:
        return Message(role="assistant", content=[ToolCallBlock(id="1", name="pay")])

    def pay(tool_key: str) -> str:
        runs.append(tool_key)
        return "paid"

    async def last(state: AgentState) -> Command | None:
        if not hangs.is_set():
            hangs.set()
            await asyncio.Event().wait()
        return None

    graph = StateGraph().add_node("MAIN", main).add_node("TOOL", ToolNode([pay])).add_node("LAST", last)
    graph.set_entry_point("MAIN").add_edge("MAIN", "TOOL").add_edge("TOOL", "LAST").add_edge("LAST", END)
    app = graph.compile()
    run = asyncio.create_task(app.ainvoke({"messages": "go"}, T | {"durability": mode}))
    await hangs.wait()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    state = await app.aget_state(T)
    assert state is not None
    assert [message.role for message in state.context] == ["user", "assistant", "tool"]
    assert (await app.ainvoke(None, T | {"durability": mode}))["meta"]["status"] == "completed"
    assert len(runs) == 1


@pytest.mark.parametrize("mode", MODES)
async def test_streams_show_the_same(mode: str) -> None:
    """Messages in their order, and all of them durable when the stream ends."""
    store = InMemoryCheckpointer()
    app = chain(store, 3)
    chunks = [c async for c in app.astream({"messages": "go"}, T | {"durability": mode}) if c.message]
    assert [chunk.message.text() for chunk in chunks if chunk.message] == ["go", "n0", "n1", "n2"]
    assert len(await store.list_messages(Scope(), "t")) == 4


async def test_an_unknown_mode_is_refused() -> None:
    """By name."""
    with pytest.raises(InvalidInputError, match="durability.*sync, async, exit"):
        await chain(InMemoryCheckpointer(), 1).ainvoke({"messages": "go"}, T | {"durability": "eventually"})
