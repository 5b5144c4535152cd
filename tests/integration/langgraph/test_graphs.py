"""Real LangGraph graphs on real Postgres: each does here what it does on LangGraph's own memory saver."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from langchain_core.messages import HumanMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot

from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.storage.checkpointer import PgCheckpointer
from tests.support import langgraph_graphs as graphs

Graph = CompiledStateGraph[Any, Any, Any, Any]
Durability = Literal["sync", "async", "exit"]
CONFIG: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
async def home(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(migrated_database_url, None)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
def saver(home: PgCheckpointer) -> AgentFlowSaver:
    return AgentFlowSaver(home)


def plain(value: Any) -> Any:
    """Values without what differs from run to run."""
    if hasattr(value, "model_dump"):
        return {key: item for key, item in value.model_dump().items() if key != "id"}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


async def history(app: Graph) -> list[Any]:
    """Every state of the thread, newest first, as far as it is the same from run to run."""
    return [
        (
            plain(state.values),
            state.next,
            {key: state.metadata[key] for key in ("source", "step")} if state.metadata else {},
            [plain(interrupt.value) for interrupt in state.interrupts],
            sorted((task.name, str(plain(task.result))) for task in state.tasks),
        )
        async for state in app.aget_state_history(CONFIG)
    ]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_conversation(saver: AgentFlowSaver, durability: Durability) -> None:
    """Three turns of two nodes with tool calls: the same states, the same history, in each durability."""
    apps = [graphs.chat().compile(checkpointer=other) for other in (saver, InMemorySaver())]
    for text in ("one", "two\0", "drei 🌍"):
        for app in apps:
            await app.ainvoke({"messages": [HumanMessage(text)]}, CONFIG, durability=durability)
    mine, theirs = [await history(app) for app in apps]
    assert len(mine[0][0]["messages"]) == 7
    assert mine == theirs


async def test_edits_and_removals_keep_history_exact(saver: AgentFlowSaver) -> None:
    """Messages replaced in place, removed from the middle and all removed: each old state shows what was."""
    apps = [graphs.chat().compile(checkpointer=other) for other in (saver, InMemorySaver())]
    for app in apps:
        await app.ainvoke({"messages": [HumanMessage("a", id="1"), HumanMessage("b", id="2")]}, CONFIG)
        await app.ainvoke({"messages": [HumanMessage("A", id="1"), RemoveMessage(id="2")]}, CONFIG)
        await app.ainvoke({"messages": [HumanMessage([{"type": "text", "text": "c"}], id="3")]}, CONFIG)
        state = await app.aget_state(CONFIG)
        await app.aupdate_state(
            CONFIG, {"messages": [RemoveMessage(id=message.id) for message in state.values["messages"]]}
        )
    mine, theirs = [await history(app) for app in apps]
    assert mine[0][0]["messages"] == []
    assert mine == theirs


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_fan_out_and_a_person(saver: AgentFlowSaver, durability: Durability) -> None:
    """Tasks of a Send run side by side, the run waits for a person and goes on with the answer."""
    apps = [graphs.fan_out().compile(checkpointer=other) for other in (saver, InMemorySaver())]
    for app in apps:
        first = await app.ainvoke({"topics": ["a", "b", "c"]}, CONFIG, durability=durability)
        assert first["__interrupt__"][0].value == {"found": ["A", "B", "C"]}
        result = await app.ainvoke(Command(resume="yes"), CONFIG, durability=durability)
        assert result["approved"] == "yes"
    mine, theirs = [await history(app) for app in apps]
    assert mine == theirs


@pytest.mark.parametrize("remembers", [False, True])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_subgraphs(saver: AgentFlowSaver, durability: Durability, remembers: bool) -> None:
    """A subgraph waits for a person and goes on, twice over; its state is to be seen from outside."""
    apps = [
        graphs.nested(remembers=remembers).compile(checkpointer=other) for other in (saver, InMemorySaver())
    ]
    for app in apps:
        for topic in ("x", "y"):
            await app.ainvoke({"topic": topic}, CONFIG, durability=durability)
            inside = (await app.aget_state(CONFIG, subgraphs=True)).tasks[0].state
            assert isinstance(inside, StateSnapshot)
            assert inside.values["topic"] == topic
            await app.ainvoke(Command(resume=topic.upper()), CONFIG, durability=durability)
    mine, theirs = [await history(app) for app in apps]
    assert mine[0][0]["approved"] == "Y"
    assert mine == theirs


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_subgraphs_side_by_side(saver: AgentFlowSaver, durability: Durability) -> None:
    """Four subgraphs write to one thread at once: none is refused, and each person's answer finds its own."""
    apps = [graphs.side_by_side().compile(checkpointer=other) for other in (saver, InMemorySaver())]
    for app in apps:
        asked = await app.ainvoke({"topics": list("abcd")}, CONFIG, durability=durability)
        answers = {one.id: one.value.upper() for one in asked["__interrupt__"]}
        result = await app.ainvoke(Command(resume=answers), CONFIG, durability=durability)
        assert sorted(result["found"]) == ["A", "B", "C", "D"]
    mine, theirs = [await history(app) for app in apps]
    assert mine == theirs


@pytest.mark.parametrize("remembers", [False, True])
async def test_replay_goes_through_subgraphs(saver: AgentFlowSaver, remembers: bool) -> None:
    """A run from an older checkpoint asks again, inside the subgraph too."""
    apps = [
        graphs.nested(remembers=remembers).compile(checkpointer=other) for other in (saver, InMemorySaver())
    ]
    for app in apps:
        await app.ainvoke({"topic": "x"}, CONFIG)
        await app.ainvoke(Command(resume="first"), CONFIG)
        start = [state async for state in app.aget_state_history(CONFIG) if state.next == ("inner",)][-1]
        again = await app.ainvoke(None, start.config)
        assert again["__interrupt__"][0].value == "x"
        result = await app.ainvoke(Command(resume="second"), CONFIG)
        assert result["approved"] == "second"
    mine, theirs = [await history(app) for app in apps]
    assert mine == theirs


async def test_time_travel(saver: AgentFlowSaver) -> None:
    """Replay, a new input, update_state and a copy, each from an old checkpoint: new lines beside the old."""
    apps = [graphs.chat().compile(checkpointer=other) for other in (saver, InMemorySaver())]
    for app in apps:
        for text in ("one", "two"):
            await app.ainvoke({"messages": [HumanMessage(text)]}, CONFIG)
        states = [state async for state in app.aget_state_history(CONFIG)]
        after_one = next(state for state in states if state.metadata and state.metadata["step"] == 2)
        before_look = next(state for state in states if state.next == ("look",))
        await app.ainvoke({"messages": [HumanMessage("other")]}, after_one.config)
        await app.ainvoke(None, before_look.config)
        updated = await app.aupdate_state(after_one.config, {"notes": {"by": "hand"}}, as_node="answer")
        assert (await app.aget_state(updated)).values["notes"] == {"by": "hand"}
        await app.aupdate_state(states[-1].config, None, as_node="__copy__")
        await app.ainvoke({"messages": [HumanMessage("last")]}, CONFIG)
    mine, theirs = [await history(app) for app in apps]
    assert mine == theirs


async def test_blocking_faces(saver: AgentFlowSaver) -> None:
    """The same from blocking code, in a thread of a running program, also as a stream."""
    import asyncio

    app = graphs.fan_out().compile(checkpointer=saver)

    def program() -> list[Any]:
        app.invoke({"topics": ["a", "b"]}, CONFIG)
        chunks = [chunk for chunk in app.stream(Command(resume="ok"), CONFIG) if "review" in chunk]
        assert len(list(app.get_state_history(CONFIG))) == 4
        saver.copy_thread("t", "copy")
        saver.prune(["t"])
        saver.delete_thread("t")
        saver.delete_for_runs(["none"])
        return chunks

    assert await asyncio.to_thread(program) == [{"review": {"approved": "ok"}}]
    copied = app.with_config({"configurable": {"thread_id": "copy"}})
    assert (await copied.aget_state(copied.config or {})).values["approved"] == "ok"


async def test_another_process_goes_on(migrated_database_url: str) -> None:
    """Killed while it waited for a person: another program on the same database takes the answer."""
    steps: list[Any] = [{"topics": ["a"]}, Command(resume="late")]
    result: dict[str, Any] = {}
    for step in steps:
        checkpointer = PgCheckpointer(migrated_database_url, None)
        app = graphs.fan_out().compile(checkpointer=AgentFlowSaver(checkpointer))
        result = await app.ainvoke(step, CONFIG)
        await checkpointer.aclose()
    assert result["approved"] == "late"
