"""Running graphs: order, merges, routing, limits, errors. On the in-memory checkpointer."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from pydantic import Field

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message, RemoveMessage, append_items, replace_messages
from agentflow.errors import (
    EmptyInputError,
    GraphDefinitionError,
    GraphRecursionError,
    InvalidIdError,
    InvalidInputError,
    NodeEncodingError,
    NodeError,
    NodeResultError,
    NodeTimeoutError,
    NothingToResumeError,
    StateEncodingError,
    StoreUnavailableError,
    SyncInAsyncError,
)
from agentflow.storage.checkpointer import InMemoryCheckpointer
from agentflow.utils import END, START, Command

HELLO = {"messages": [Message.text_message("hello")]}
T = {"thread_id": "t"}


class Work(AgentState):
    log: Annotated[list[str], append_items] = Field(default_factory=list)
    total: Annotated[int, operator.add] = 0
    note: str = ""
    anything: Any = None


def logging_node(name: str) -> Any:
    async def node(state: Work, config: dict[str, Any]) -> dict[str, Any]:
        return {"log": [name], "total": 1}

    return node


def chain(*names: str) -> StateGraph[Work]:
    graph = StateGraph(Work)
    for name in names:
        graph.add_node(name, logging_node(name))
    for source, target in zip((START, *names), (*names, END), strict=True):
        graph.add_edge(source, target)
    return graph


async def state_of(app: CompiledGraph[Any], **config: Any) -> Any:
    state = await app.aget_state(T | config)
    assert state is not None
    return state


async def test_nodes_run_in_order_and_each_boundary_is_a_checkpoint() -> None:
    """Input and three nodes: four checkpoints, gapless, read back exactly."""
    app = chain("A", "B", "C").compile()
    result = await app.ainvoke(HELLO, T)
    assert [message.text() for message in result["messages"]] == ["hello"]
    assert result["meta"]["is_new_thread"] is True
    assert result["meta"]["status"] == "completed"
    history = await app.ahistory(T)
    assert [(entry.seq, entry.parent, entry.node, entry.source) for entry in history] == [
        (4, 3, "C", "node"),
        (3, 2, "B", "node"),
        (2, 1, "A", "node"),
        (1, 0, START, "input"),
    ]
    logs = [(await app.aget_state(T, checkpoint=seq)).log for seq in (1, 2, 3, 4)]  # type: ignore[union-attr]
    assert logs == [[], ["A"], ["A", "B"], ["A", "B", "C"]]


async def test_state_goes_on_in_the_next_turn() -> None:
    """A second invoke on the thread continues, another thread starts empty."""
    app = chain("A").compile()
    await app.ainvoke(HELLO, T)
    second = await app.ainvoke({"messages": ["again"]}, T, response_granularity="full")
    assert second["state"].total == 2
    assert second["meta"]["is_new_thread"] is False
    assert len(second["messages"]) == 1
    assert len(second["context"]) == 2
    other = await app.ainvoke(HELLO, {"thread_id": "other"}, response_granularity="full")
    assert other["state"].total == 1


@pytest.mark.parametrize(
    "returned",
    [
        Message.text_message("hi", role="assistant"),
        [Message.text_message("hi", role="assistant")],
        "hi",
        {"messages": [Message.text_message("hi", role="assistant")]},
        {"context": Message.text_message("hi", role="assistant")},
        {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "hi"}]}]},
        Command(update="hi"),
        AgentState(context=[Message.text_message("hi", role="assistant")]),
    ],
    ids=["message", "list", "text", "messages", "context", "dict", "command", "state"],
)
async def test_every_kind_of_answer(returned: Any) -> None:
    """A node may answer with any of these."""
    graph = StateGraph().add_node("A", lambda state: returned).set_entry_point("A").add_edge("A", END)
    result = await graph.compile().ainvoke(HELLO, T)
    assert result["messages"][-1].text() == "hi"
    assert result["messages"][-1].role == "assistant"


async def test_a_node_may_change_the_state_it_is_given_and_return_it() -> None:
    """Changes in place count when the state is returned, and only then."""

    def changes(state: Work) -> Work:
        state.context.append(Message.text_message("added", role="assistant"))
        state.log.append("in place")
        state.note = "set"
        return state

    def forgets(state: Work) -> None:
        state.log.append("dropped")

    graph = StateGraph(Work).add_node("A", changes).add_node("B", forgets)
    graph.add_edge(START, "A").add_edge("A", "B").add_edge("B", END)
    result = await graph.compile().ainvoke(HELLO, T, response_granularity="full")
    assert result["state"].log == ["in place"]
    assert result["state"].note == "set"
    assert [message.text() for message in result["messages"]] == ["hello", "added"]


async def test_conditional_edges_and_loops() -> None:
    """A router decides on the merged state; a path map may translate its answer."""

    def router(state: Work) -> str:
        return "again" if state.total < 3 else "done"

    graph = StateGraph(Work).add_node("A", logging_node("A")).set_entry_point("A")
    graph.add_conditional_edges("A", router, {"again": "A", "done": END})
    result = await graph.compile().ainvoke(HELLO, T, response_granularity="full")
    assert result["state"].log == ["A", "A", "A"]


async def test_command_goes_where_it_says() -> None:
    """`goto` replaces the node's edges for this time."""
    graph = chain("A", "B", "C")
    graph.add_node("D", lambda state: Command(update={"log": ["D"]}, goto="C")).add_edge("D", "B")
    graph.add_conditional_edges(START, lambda state: "D")
    graph._topology.edges[START] = []
    result = await graph.compile().ainvoke(HELLO, T, response_granularity="full")
    assert result["state"].log == ["D", "C"]


async def test_fan_out_merges_in_the_order_nodes_were_added() -> None:
    """Whatever ends first, the merge is the same; the join runs once."""
    first_ended = asyncio.Event()

    async def slow(state: Work, config: dict[str, Any]) -> dict[str, Any]:
        await first_ended.wait()
        return {"log": ["slow"], "messages": "from slow"}

    async def fast(state: Work, config: dict[str, Any]) -> dict[str, Any]:
        first_ended.set()
        return {"log": ["fast"], "messages": "from fast"}

    graph = (
        StateGraph(Work).add_node("slow", slow).add_node("fast", fast).add_node("join", logging_node("join"))
    )
    for name in ("slow", "fast"):
        graph.add_edge(START, name).add_edge(name, "join")
    graph.add_edge("join", END)
    app = graph.compile()
    result = await app.ainvoke(HELLO, T, response_granularity="full")
    assert result["state"].log == ["slow", "fast", "join"]
    assert [message.text() for message in result["messages"]] == ["hello", "from slow", "from fast"]


async def test_a_finished_branch_is_not_run_again() -> None:
    """One branch fails after its sibling ended: going on runs only the one that failed."""
    calls: list[str] = []

    async def good(state: Work) -> dict[str, Any]:
        calls.append("good")
        return {"log": ["good"], "messages": [Message.text_message("kept", role="assistant")]}

    async def bad(state: Work) -> dict[str, Any]:
        calls.append("bad")
        if calls.count("bad") == 1:
            while not any(entry.source == "branch" for entry in await app.ahistory(T)):  # noqa: ASYNC110
                await asyncio.sleep(0)
            raise ValueError("broken")
        return {"log": ["bad"]}

    graph = StateGraph(Work).add_node("good", good).add_node("bad", bad)
    graph.add_edge(START, "good").add_edge(START, "bad").add_edge("good", END).add_edge("bad", END)
    app = graph.compile()
    with pytest.raises(NodeError, match="broken"):
        await app.ainvoke(HELLO, T)
    state = await state_of(app)
    assert state.execution_meta.status == "error"
    assert state.log == []
    result = await app.ainvoke(None, T, response_granularity="full")
    assert calls == ["good", "bad", "bad"]
    assert result["state"].log == ["good", "bad"]
    assert [message.text() for message in result["context"]] == ["hello", "kept"]


async def test_edits_and_removals_reach_the_context() -> None:
    """The same message id replaces; RemoveMessage takes out; history shows what was."""
    first = Message.text_message("first", message_id="m1")

    def edit(state: AgentState) -> list[Any]:
        return [first.model_copy(update={"content": Message.text_message("second").content})]

    def remove(state: AgentState) -> dict[str, Any]:
        return {"messages": [RemoveMessage("m1"), RemoveMessage("missing")]}

    graph = StateGraph().add_node("edit", edit).add_node("remove", remove)
    graph.add_edge(START, "edit").add_edge("edit", "remove").add_edge("remove", END)
    app = graph.compile()
    await app.ainvoke({"messages": [first]}, T)
    texts = []
    for seq in (1, 2, 3):
        state = await app.aget_state(T, checkpoint=seq)
        assert state is not None
        texts.append([message.text() for message in state.context])
    assert texts == [["first"], ["second"], []]


async def test_a_reducer_may_replace_the_whole_context() -> None:
    """Trimming: the state keeps the last message, history all of them."""

    class Short(AgentState):
        context: Annotated[list[Message], replace_messages] = Field(default_factory=list)

    graph = StateGraph(Short).add_node("trim", lambda state: {"context": state.context[-1:]})
    graph.add_edge(START, "trim").add_edge("trim", END)
    app = graph.compile()
    await app.ainvoke({"messages": [Message.text_message("a"), Message.text_message("b")]}, T)
    state = await app.aget_state(T)
    assert state is not None
    assert [message.text() for message in state.context] == ["b"]


# --- limits and errors ------------------------------------------------------------------------------


async def test_recursion_limit() -> None:
    """An endless loop ends with a typed error, its steps are kept, and it can go on."""
    graph = StateGraph(Work).add_node("A", logging_node("A")).set_entry_point("A").add_edge("A", "A")
    app = graph.compile()
    with pytest.raises(GraphRecursionError, match="recursion_limit"):
        await app.ainvoke(HELLO, T | {"recursion_limit": 5})
    assert (await state_of(app)).total == 5
    with pytest.raises(GraphRecursionError):
        await app.ainvoke(None, T | {"recursion_limit": 2})
    assert (await state_of(app)).total == 7


async def test_a_node_that_raises_leaves_the_checkpoint_before() -> None:
    """The error names the node and carries the cause; a repaired graph goes on where it was."""
    broken = True

    def fragile(state: Work) -> dict[str, Any]:
        if broken:
            raise ZeroDivisionError("oops")
        return {"log": ["B"]}

    graph = StateGraph(Work).add_node("A", logging_node("A")).add_node("B", fragile)
    graph.add_edge(START, "A").add_edge("A", "B").add_edge("B", END)
    app = graph.compile()
    with pytest.raises(NodeError, match=r"'B'.*ZeroDivisionError: oops") as caught:
        await app.ainvoke(HELLO, T)
    assert caught.value.node == "B"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    state = await state_of(app)
    assert (state.log, state.execution_meta.status) == (["A"], "error")
    broken = False
    result = await app.ainvoke(None, T, response_granularity="full")
    assert result["state"].log == ["A", "B"]
    assert result["state"].execution_meta.status == "completed"


async def test_node_timeout_async_and_blocking() -> None:
    """A node over its time fails by name; the loop is not blocked by a blocking one."""
    release = asyncio.Event()
    started = asyncio.Event()

    async def hangs(state: Work) -> None:
        await release.wait()

    app = StateGraph(Work).add_node("A", hangs).set_entry_point("A").add_edge("A", END).compile()
    with pytest.raises(NodeTimeoutError, match="node_timeout"):
        await app.ainvoke(HELLO, T | {"node_timeout": 0.01})

    import threading

    gate = threading.Event()
    loop = asyncio.get_running_loop()

    def blocks(state: Work) -> None:
        loop.call_soon_threadsafe(started.set)
        gate.wait(10)

    app = StateGraph(Work).add_node("A", blocks).set_entry_point("A").add_edge("A", END).compile()
    run = asyncio.create_task(app.ainvoke(HELLO, T | {"node_timeout": 0.05}))
    await started.wait()
    with pytest.raises(NodeTimeoutError):
        await run
    gate.set()


async def test_a_timeout_inside_a_node_is_the_nodes_own_error() -> None:
    """Not mistaken for the deadline."""

    async def raises(state: Work) -> None:
        raise TimeoutError("upstream")

    app = StateGraph(Work).add_node("A", raises).set_entry_point("A").add_edge("A", END).compile()
    with pytest.raises(NodeError, match="TimeoutError: upstream") as caught:
        await app.ainvoke(HELLO, T)
    assert not isinstance(caught.value, NodeTimeoutError)


@pytest.mark.parametrize(
    "returned",
    [7, {"nope": 1}, {"note": 7}, {"execution_meta": {}}, [3], {"messages": [{"role": "king"}]}, Work],
)
async def test_a_useless_answer_is_named(returned: Any) -> None:
    """The error says which node and what it may return; nothing of it is stored."""
    app = (
        StateGraph(Work)
        .add_node("A", lambda state: returned)
        .set_entry_point("A")
        .add_edge("A", END)
        .compile()
    )
    with pytest.raises(NodeResultError, match="'A'"):
        await app.ainvoke(HELLO, T)
    state = await state_of(app)
    assert [message.text() for message in state.context] == ["hello"]


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800", 10**200_000], ids=str.__class__)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_state_that_is_no_data_keeps_the_checkpoint_before(value: Any, durability: str) -> None:
    """An error of the node, with the field; the state in the store is the one before."""
    app = StateGraph(Work).add_node("A", lambda state: {"anything": value, "note": "lost"})
    app.set_entry_point("A").add_edge("A", END)
    compiled = app.compile()
    with pytest.raises(NodeEncodingError) as caught:
        await compiled.ainvoke(HELLO, {**T, "durability": durability})
    assert (caught.value.node, caught.value.field) == ("A", "anything")
    assert isinstance(caught.value, StateEncodingError)
    state = await state_of(compiled)
    assert (state.note, state.anything, state.execution_meta.status) == ("", None, "error")
    assert [message.text() for message in state.context] == ["hello"]


async def test_an_input_that_is_no_data_is_the_callers() -> None:
    """No node is blamed, and nothing is stored."""
    bad = Message.text_message("x").model_copy(update={"metadata": {"x": float("nan")}})
    app = StateGraph(Work).add_node("A", lambda state: None).set_entry_point("A").add_edge("A", END).compile()
    with pytest.raises(StateEncodingError) as caught:
        await app.ainvoke({"messages": [bad]}, T)
    assert not isinstance(caught.value, NodeError)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_the_node_that_is_blamed_is_the_one_that_did_it(durability: str) -> None:
    """Also when others ran before its output was written, and when it is a message's id."""
    bad = Message(message_id="a\0b", role="assistant", content=[])
    app = StateGraph(Work).add_node("A", lambda state: bad).add_node("B", lambda state: None)
    app.set_entry_point("A").add_edge("A", "B").add_edge("B", END)
    with pytest.raises(NodeEncodingError) as caught:
        await app.compile().ainvoke(HELLO, {**T, "durability": durability})
    assert (caught.value.node, caught.value.field) == ("A" if durability != "exit" else "B", "context")


async def test_goto_and_routers_to_nowhere() -> None:
    """An unknown target is an error of the node; what it did is kept where a router failed."""
    app = StateGraph(Work).add_node("A", lambda state: Command(goto="X")).set_entry_point("A").compile()
    with pytest.raises(NodeResultError, match="'X'"):
        await app.ainvoke(HELLO, T)
    ways = iter(["X", "END?", END])
    graph = StateGraph(Work).add_node("A", logging_node("A")).set_entry_point("A")
    graph.add_conditional_edges("A", lambda state: next(ways), {END: END})
    app = graph.compile()
    with pytest.raises(NodeResultError, match="path map"):
        await app.ainvoke(HELLO, T)
    with pytest.raises(NodeResultError, match="path map"):
        await app.ainvoke(None, T)
    result = await app.ainvoke(None, T, response_granularity="full")
    assert result["state"].log == ["A"]
    assert result["meta"]["status"] == "completed"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: StateGraph().compile(), "no node"),
        (lambda: StateGraph().add_node("A", str).compile(), "entry point"),
        (lambda: chain("A").add_edge("A", "X").compile(), "'X'"),
        (lambda: chain("A").add_edge("X", "A").compile(), "'X'"),
        (lambda: chain("A").add_conditional_edges("A", str, {"a": "X"}).compile(), "'X'"),
        (lambda: chain("A").compile(interrupt_before=["X"]), "interrupt_before"),
        (lambda: chain("A").add_node("A", str), "already"),
        (lambda: chain("A").add_node("B", 7), "function"),  # type: ignore[arg-type]
        (lambda: chain("A").add_node("B", lambda a, b, c: None), "must take"),
        (lambda: chain("A").add_node(END, str), "cannot be named"),
        (lambda: chain("A").add_node("a,b", str), "cannot be named"),
        (lambda: chain("A").add_edge(END, "A"), "END"),
        (lambda: StateGraph(dict), "AgentState"),  # type: ignore[type-var]
        (lambda: chain("A").compile("postgres://"), "BaseCheckpointer"),  # type: ignore[arg-type]
    ],
)
def test_a_graph_that_cannot_run_is_refused(build: Any, message: str) -> None:
    """When it is built or compiled, with what to do."""
    with pytest.raises(GraphDefinitionError, match=message):
        build()


@pytest.mark.parametrize("given", [{"messages": []}, None, {}])
async def test_an_empty_input_is_refused(given: Any) -> None:
    """Nothing to do on a thread without an unfinished run."""
    app = chain("A").compile()
    with pytest.raises(EmptyInputError):
        await app.ainvoke(given, T)
    assert await app.aget_state(T) is None


@pytest.mark.parametrize(
    ("given", "config", "error"),
    [
        ({"messages": [3]}, T, InvalidInputError),
        ({"messages": 3}, T, InvalidInputError),
        ({"nope": 1}, T, InvalidInputError),
        ({"messages": [{"role": "x", "content": []}]}, T, InvalidInputError),
        ({"state": 3, **HELLO}, T, InvalidInputError),
        ({"note": 3, **HELLO}, T, InvalidInputError),
        ({"resume": 1}, T, NothingToResumeError),
        (HELLO, {"thread_id": "a\0b"}, InvalidIdError),
        (HELLO, {"thread_id": "\ud800"}, InvalidIdError),
        (HELLO, {"thread_id": "x" * 513}, InvalidIdError),
        (HELLO, {"thread_id": ["x"]}, InvalidIdError),
        (HELLO, {"thread_id": True}, InvalidIdError),
        (HELLO, T | {"recursion_limit": 0}, InvalidInputError),
        (HELLO, T | {"node_timeout": -1}, InvalidInputError),
        (HELLO, T | {"node_timeout": float("nan")}, InvalidInputError),
        (HELLO, T | {"node_timeout": 10**400}, InvalidInputError),
        (HELLO, T | {"scope": "acme"}, InvalidInputError),
        (HELLO, T | {"user_id": "a\0"}, InvalidIdError),
    ],
)
async def test_bad_input_is_refused_before_anything_is_stored(given: Any, config: Any, error: Any) -> None:
    """Typed, and nothing is left behind."""
    app = chain("A").compile()
    with pytest.raises(error):
        await app.ainvoke(given, config)
    assert await app.checkpointer.list_threads(scope=_scope()) == []


def _scope() -> Any:
    from agentflow.storage.checkpointer import Scope

    return Scope()


async def test_sending_the_same_message_again_does_not_double_it() -> None:
    """A message is its id: a caller that repeats a request does not repeat the conversation."""
    app = chain("A").compile()
    await app.ainvoke(HELLO, T)
    result = await app.ainvoke(HELLO, T, response_granularity="full")
    assert len(result["context"]) == 1
    assert len(result["messages"]) == 1


async def test_input_may_set_fields() -> None:
    """By name or under `state`; each through its reducer."""
    app = chain("A").compile()
    result = await app.ainvoke(HELLO | {"total": 5, "state": {"note": "n"}}, T, response_granularity="full")
    assert (result["state"].total, result["state"].note) == (6, "n")


async def test_without_a_thread_id_the_run_gets_one_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """One clear warning; the id is returned."""
    app = chain("A").compile()
    result = await app.ainvoke(HELLO)
    assert "thread_id" in caplog.text
    assert len(caplog.records) == 1
    assert await app.aget_state({"thread_id": result["meta"]["thread_id"]}) is not None


async def test_numeric_thread_ids_become_text() -> None:
    """7 and "7" are one thread."""
    app = chain("A").compile()
    await app.ainvoke(HELLO, {"thread_id": 7})
    assert await app.aget_state({"thread_id": "7"}) is not None


async def test_blocking_faces_refuse_a_running_loop() -> None:
    """The error names the async one."""
    app = chain("A").compile()
    with pytest.raises(SyncInAsyncError, match="ainvoke"):
        app.invoke(HELLO, T)
    with pytest.raises(SyncInAsyncError, match="astream"):
        next(iter(app.stream(HELLO, T)))


async def test_cancelling_the_caller_cancels_the_run() -> None:
    """The thread is free afterwards, and the run can go on."""
    reached = asyncio.Event()
    hang = True

    async def hangs(state: Work) -> dict[str, Any]:
        reached.set()
        if hang:
            await asyncio.Event().wait()
        return {"log": ["B"]}

    graph = StateGraph(Work).add_node("A", logging_node("A")).add_node("B", hangs)
    graph.add_edge(START, "A").add_edge("A", "B").add_edge("B", END)
    app = graph.compile()
    run = asyncio.create_task(app.ainvoke(HELLO, T))
    await reached.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    hang = False
    result = await app.ainvoke(None, T, response_granularity="full")
    assert result["state"].log == ["A", "B"]


async def test_graphs_with_different_checkpointers_never_mix() -> None:
    """Same thread id, same graph, two homes."""
    graph = chain("A")
    one, two = graph.compile(InMemoryCheckpointer()), graph.compile(InMemoryCheckpointer())
    shared = graph.compile(one.checkpointer)
    await asyncio.gather(*(app.ainvoke(HELLO, T) for app in (one, two, shared) for _ in range(5)))
    assert (await state_of(one)).total == 10
    assert (await state_of(two)).total == 5


async def test_going_on_with_another_graph_is_refused() -> None:
    """An unfinished run is of the graph that started it; a new turn is possible with any."""
    checkpointer = InMemoryCheckpointer()

    def fails(state: Work) -> None:
        raise ValueError("broken")

    old = StateGraph(Work).add_node("old", fails).set_entry_point("old").add_edge("old", END)
    with pytest.raises(NodeError):
        await old.compile(checkpointer).ainvoke(HELLO, T)
    app = chain("new").compile(checkpointer)
    with pytest.raises(InvalidInputError, match="'old'"):
        await app.ainvoke(None, T)
    result = await app.ainvoke({"messages": "again"}, T, response_granularity="full")
    assert result["state"].log == ["new"]


async def test_an_input_of_unknown_fate_is_not_sent_again() -> None:
    """The store took it and its answer was lost for good: the caller is told, and it counts once."""

    class LostReplies(InMemoryCheckpointer):
        def session(self, *args: Any, **kwargs: Any) -> Any:
            session = super().session(*args, **kwargs)
            append = session.append

            async def append_and_lose(write: Any) -> Any:
                await append(write)
                raise StoreUnavailableError("no answer")

            session.append = append_and_lose  # type: ignore[method-assign]
            session.from_cache = True
            return session

    checkpointer = LostReplies()
    app = chain("A").compile(checkpointer)
    with pytest.raises(StoreUnavailableError):
        await app.ainvoke(HELLO | {"total": 5}, T)
    state = await state_of(app)
    assert state.total == 5
    assert len(await app.ahistory(T)) == 1


async def test_a_graph_inside_a_node() -> None:
    """An inner graph has its own threads and does not disturb the outer node."""
    inner = chain("A").compile()

    async def outer(state: Work, config: dict[str, Any]) -> dict[str, Any]:
        result = await inner.ainvoke(HELLO, {"thread_id": "inner"}, response_granularity="full")
        return {"log": [f"inner {result['state'].total}"]}

    app = StateGraph(Work).add_node("O", outer).set_entry_point("O").add_edge("O", END).compile()
    result = await app.ainvoke(HELLO, T, response_granularity="full")
    assert result["state"].log == ["inner 1"]
