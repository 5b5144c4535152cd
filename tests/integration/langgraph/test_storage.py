"""What the saver's threads cost and look like in the tables, and how they live beside others."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import asyncpg
import pytest
from langchain_core.messages import HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.conformance.test_utils import generate_checkpoint, generate_metadata
from langgraph.graph import END, START
from langgraph.graph import StateGraph as LangGraph
from langgraph.types import Command
from pydantic import BaseModel
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.core.graph import StateGraph
from agentflow.core.state import Message
from agentflow.errors import InvalidInputError, StaleCheckpointError, ThreadNotFoundError, TooLargeError
from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.storage.checkpointer import Limits, PgCheckpointer, Scope
from tests.support import langgraph_graphs as graphs
from tests.support.langgraph_contract import all_of, config, put

CONFIG: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
async def home(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(migrated_database_url, None)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def sql(migrated_database_url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


async def test_a_turn_is_one_read_and_one_statement_a_write(migrated_database_url: str) -> None:
    """The 30th turn sends what the 3rd does: one read, four checkpoints, three tasks' results."""
    sent: list[str] = []
    engine = create_async_engine(migrated_database_url)

    @event.listens_for(engine.sync_engine, "connect")
    def listen(connection: Any, record: Any) -> None:
        connection.driver_connection.add_query_logger(lambda query: sent.append(query.query))

    checkpointer = PgCheckpointer.from_engine(engine, None)
    app = graphs.chat().compile(checkpointer=AgentFlowSaver(checkpointer))
    counts = []
    for turn in range(30):
        sent.clear()
        await app.ainvoke({"messages": [HumanMessage(f"turn {turn}")]}, CONFIG)
        counts.append(len([query for query in sent if "agentflow_threads" in query]))
    await checkpointer.aclose()
    await engine.dispose()
    assert counts[2] == counts[29] == 8


async def test_a_step_stores_what_it_changed(home: PgCheckpointer, sql: "asyncpg.Connection[Any]") -> None:
    """Deltas do not grow with the conversation, and every message is one row."""
    app = graphs.chat().compile(checkpointer=AgentFlowSaver(home))
    for turn in range(40):
        await app.ainvoke({"messages": [HumanMessage(f"turn {turn}")]}, CONFIG)
    sizes = [
        row["size"]
        for row in await sql.fetch(
            "SELECT octet_length(delta) AS size FROM agentflow_checkpoints WHERE NOT is_full ORDER BY seq"
        )
    ]
    assert sum(sizes[-30:]) <= 1.1 * sum(sizes[30:60])
    assert await sql.fetchval("SELECT count(*) FROM agentflow_messages") == 81
    state = await app.aget_state(CONFIG)
    assert len(state.values["messages"]) == 81
    found = await sql.fetch(
        "SELECT role, message_id FROM agentflow_messages WHERE content = 'turn 7' AND removed_seq IS NULL"
    )
    message = next(one for one in state.values["messages"] if one.content == "turn 7")
    assert [tuple(row) for row in found] == [("user", message.id)]


async def test_finished_subgraphs_leave_the_state(
    home: PgCheckpointer, sql: "asyncpg.Connection[Any]"
) -> None:
    """The thread's row holds what is alive; what a subgraph was stays in history."""
    app = graphs.nested().compile(checkpointer=AgentFlowSaver(home))
    for turn in range(12):
        await app.ainvoke({"topic": f"{turn:04}"}, CONFIG)
        await app.ainvoke(Command(resume=f"{turn:04}"), CONFIG)
    alive = "SELECT json_object_keys(state::json -> 'langgraph') AS node FROM agentflow_threads"
    assert [row["node"] for row in await sql.fetch(alive)] == [""]
    nodes = await sql.fetch("SELECT DISTINCT node FROM agentflow_checkpoints WHERE node <> ''")
    assert len(nodes) == 12
    saver = AgentFlowSaver(home)
    for row in nodes:
        inside = await saver.aget_tuple(config(namespace=row["node"][1:]))
        assert inside is not None
        assert inside.checkpoint["channel_values"]["found"][-1] == "closed"


def joined(state: list[str], writes: list[list[str]]) -> list[str]:
    return [*state, *(item for write in writes for item in write)]


class Log(TypedDict):
    lines: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=5)]


async def test_pruning_keeps_what_delta_channels_are_rebuilt_from(home: PgCheckpointer) -> None:
    """LangGraph stores such a channel whole now and then only; the rest is in its ancestors' writes."""
    graph: Any = LangGraph(Log)
    graph.add_node("add", lambda state: {"lines": [f"line {len(state['lines'])}"]})
    graph.add_edge(START, "add")
    graph.add_edge("add", END)
    saver = AgentFlowSaver(home)
    app = graph.compile(checkpointer=saver)
    for turn in range(8):
        await app.ainvoke({"lines": ["said"]}, CONFIG)
        before = await app.aget_state(CONFIG)
        await saver.aprune(["t"])
        assert (await app.aget_state(CONFIG)).values == before.values
        assert len(before.values["lines"]) == 2 * (turn + 1)
    assert len(await all_of(saver, CONFIG)) < 14


@pytest.mark.parametrize("inherited", [True, False])
async def test_writes_may_come_before_the_first_checkpoint(home: PgCheckpointer, inherited: bool) -> None:
    """In durability async a task may end before its run's first checkpoint made the thread.

    Blocking graphs report it from the thread that ended it, outside of the run's context.
    """
    saver = AgentFlowSaver(home)
    first = generate_checkpoint()
    assert await saver.aget_tuple(config()) is None
    written = saver.aput_writes(config("t", first["id"]), [("n", 1)], "task")
    context = contextvars.copy_context() if inherited else contextvars.Context()
    await asyncio.create_task(written, context=context)
    await saver.aput(config(), first, generate_metadata(), {})
    found = await saver.aget_tuple(config())
    assert found is not None
    assert found.pending_writes == [("task", "n", 1)]


async def test_a_write_waits_for_a_deletion_and_stores_nothing(
    home: PgCheckpointer, sql: "asyncpg.Connection[Any]", migrated_database_url: str
) -> None:
    """A pending write that meets a deletion half-way is decided by it."""
    saver = AgentFlowSaver(home)
    where = await put(saver, config(), n=1)
    observer = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute("DELETE FROM agentflow_threads")
    late = asyncio.create_task(saver.aput_writes(where, [("n", 2)], "task"))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    while not await observer.fetchval(f"{waiting} AND wait_event_type = 'Lock'"):
        pass
    await transaction.commit()
    with pytest.raises(ThreadNotFoundError):
        await late
    assert await observer.fetchval("SELECT count(*) FROM agentflow_writes") == 0
    await observer.close()


class Person(BaseModel):
    name: str


@pytest.mark.parametrize("allowed", [(), (Person,), ((Person.__module__, "Person"),)])
async def test_own_types_are_built_when_allowed(home: PgCheckpointer, allowed: Any) -> None:
    """By default a value of an unknown type comes back as data; named types come back as they were."""
    where = await put(AgentFlowSaver(home), config(), who=Person(name="Alex"))
    found = await AgentFlowSaver(home, allowed_types=allowed).aget_tuple(where)
    assert found is not None
    expected: Any = Person(name="Alex") if allowed else {"name": "Alex"}
    assert found.checkpoint["channel_values"]["who"] == expected


async def test_other_threads_are_left_alone(home: PgCheckpointer) -> None:
    """A thread of an AgentFlow graph is neither read nor listed nor changed by the saver."""
    graph = StateGraph().add_node("MAIN", lambda state: "Noted.").set_entry_point("MAIN")
    app = graph.add_edge("MAIN", "__end__").compile(checkpointer=home)
    await app.ainvoke({"messages": [Message.text_message("Hello")]}, {"thread_id": "t", "run_id": "run"})
    before = await home.load(saver_scope(home), "t")
    saver = AgentFlowSaver(home)
    assert await all_of(saver) == []
    for work in (saver.aget_tuple(config()), put(saver, config(), n=1)):
        with pytest.raises(InvalidInputError, match="another thread id"):
            await work
    with pytest.raises(ThreadNotFoundError):
        await saver.acopy_thread("t", "other")
    await saver.adelete_for_runs(["run"])
    await saver.aprune(["t"])
    assert await home.load(saver_scope(home), "t") == before


def saver_scope(home: PgCheckpointer) -> Any:
    return AgentFlowSaver(home)._scope


async def test_principals_see_their_own_threads(home: PgCheckpointer) -> None:
    """A thread belongs to the principal that made it; to others it does not exist."""
    mine, theirs = (AgentFlowSaver(home, scope=Scope(principal=name)) for name in ("mine", "theirs"))
    where = await put(mine, config(), n=1)
    assert await theirs.aget_tuple(where) is None
    assert await all_of(theirs) == []
    for work in (put(theirs, config(), n=2), theirs.aput_writes(where, [("n", 2)], "task")):
        with pytest.raises(ThreadNotFoundError):
            await asyncio.create_task(work)
    await theirs.adelete_thread("t")
    assert len(await all_of(mine)) == 1


async def test_runs_of_one_thread_at_once(home: PgCheckpointer) -> None:
    """Of eight runs that start together the overtaken ones are told; what was told done is there."""
    runs = [graphs.chat().compile(checkpointer=AgentFlowSaver(home)) for _ in range(8)]
    turns = [
        app.ainvoke({"messages": [HumanMessage(str(n))]}, CONFIG, durability="sync")
        for n, app in enumerate(runs)
    ]
    outcomes = await asyncio.gather(*turns, return_exceptions=True)
    done = [one for one in outcomes if isinstance(one, dict)]
    assert {type(one) for one in outcomes if not isinstance(one, dict)} == {StaleCheckpointError}
    state = await runs[0].aget_state(CONFIG)
    texts = {message.content for message in state.values["messages"] if message.type == "human"}
    assert all(result["messages"][-1] in state.values["messages"] for result in done)
    assert len(texts) >= len(done) >= 1
    assert state.next == ()


async def test_a_run_inside_anothers_stream(home: PgCheckpointer) -> None:
    """Both in one task: the inner one is done, the outer one is told."""
    app = graphs.chat().compile(checkpointer=AgentFlowSaver(home))

    async def outer() -> None:
        async for _ in app.astream({"messages": [HumanMessage("outer")]}, CONFIG, durability="sync"):
            await app.ainvoke({"messages": [HumanMessage("inner")]}, CONFIG, durability="sync")

    with pytest.raises(StaleCheckpointError):
        await outer()
    state = await app.aget_state(CONFIG)
    assert state.values["messages"][-1].content.startswith("I have read")
    assert state.next == ()


async def test_what_is_too_large_is_refused(migrated_database_url: str) -> None:
    """With the checkpointer's limits; the checkpoint before stays."""
    small = PgCheckpointer(migrated_database_url, None, limits=Limits(max_state_bytes=4096))
    saver = AgentFlowSaver(small)
    where = await put(saver, config(), n=1)
    with pytest.raises(TooLargeError):
        await put(saver, where, n="x" * 5000)
    found = await saver.aget_tuple(config())
    assert found is not None
    assert found.config == where
    with pytest.raises(InvalidInputError, match="keep_latest"):
        await saver.aprune(["t"], strategy="all")
    with pytest.raises(InvalidInputError, match="name it"):
        await saver.aput_writes(config(), [("n", 1)], "task")
    await small.aclose()
