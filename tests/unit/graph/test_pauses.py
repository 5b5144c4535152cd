"""Interrupts, breakpoints and stops: a run waits and goes on, exactly once."""

import asyncio
import threading
from typing import Annotated, Any

import pytest
from pydantic import Field

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message, append_items
from agentflow.errors import (
    EmptyInputError,
    ExecutionError,
    InvalidInputError,
    NodeEncodingError,
    NothingToResumeError,
    StateEncodingError,
)
from agentflow.storage.checkpointer import InMemoryCheckpointer
from agentflow.utils import END, START, interrupt

HELLO = {"messages": [Message.text_message("hello")]}
T = {"thread_id": "t"}


class Work(AgentState):
    log: Annotated[list[str], append_items] = Field(default_factory=list)


def step(name: str) -> Any:
    return lambda state: {"log": [name]}


def app_of(*nodes: tuple[str, Any], checkpointer: Any = None, **breakpoints: Any) -> CompiledGraph[Work]:
    graph = StateGraph(Work)
    for name, function in nodes:
        graph.add_node(name, function)
    names = [name for name, _ in nodes]
    for source, target in zip((START, *names), (*names, END), strict=True):
        graph.add_edge(source, target)
    return graph.compile(checkpointer, **breakpoints)


async def log_of(app: CompiledGraph[Work]) -> list[str]:
    state = await app.aget_state(T)
    assert state is not None
    return state.log


def asks(state: Work) -> dict[str, Any]:
    first = interrupt({"question": "name?"})
    second = interrupt({"question": "age?"})
    return {"log": [f"{first} {second}"]}


async def test_interrupt_waits_for_its_answers_in_order() -> None:
    """The pause is in the state, survives a new process's graph, and each answer is used once."""
    checkpointer = InMemoryCheckpointer()
    app = app_of(("A", step("A")), ("ask", asks), ("B", step("B")), checkpointer=checkpointer)
    result = await app.ainvoke(HELLO, T, response_granularity="full")
    meta = result["state"].execution_meta
    assert (meta.status, meta.interrupted_node, meta.interrupt_reason) == (
        "interrupted_before",
        "ask",
        "interrupt",
    )
    assert [pause["value"] for pause in meta.interrupt_data["interrupts"]] == [{"question": "name?"}]

    app = app_of(("A", step("A")), ("ask", asks), ("B", step("B")), checkpointer=checkpointer)
    with pytest.raises(EmptyInputError, match="resume"):
        await app.ainvoke(None, T)
    result = await app.ainvoke({"resume": "Alex"}, T, response_granularity="full")
    assert result["state"].execution_meta.interrupt_data["interrupts"][0]["value"] == {"question": "age?"}
    result = await app.ainvoke({"resume": 42}, T, response_granularity="full")
    assert result["state"].log == ["A", "Alex 42", "B"]
    assert result["state"].execution_meta.interrupt_data is None
    assert result["meta"]["status"] == "completed"
    with pytest.raises(NothingToResumeError, match="nothing to resume"):
        await app.ainvoke({"resume": 43}, T)
    assert await log_of(app) == ["A", "Alex 42", "B"]


async def test_a_nodes_own_except_cannot_swallow_a_pause() -> None:
    """`except Exception` around an interrupt is harmless."""

    def node(state: Work) -> dict[str, Any]:
        try:
            return {"log": [interrupt("?")]}
        except Exception:  # noqa: BLE001 - what a user's node may do
            return {"log": ["swallowed"]}

    app = app_of(("A", node))
    await app.ainvoke(HELLO, T)
    await app.ainvoke({"resume": "answer"}, T)
    assert await log_of(app) == ["answer"]


async def test_falsy_answers_count() -> None:
    """None, False and "" are answers."""
    for answer in (None, False, "", 0):
        app = app_of(("A", lambda state: {"log": [repr(interrupt("?"))]}))
        await app.ainvoke(HELLO, T)
        await app.ainvoke({"resume": answer}, T)
        assert await log_of(app) == [repr(answer)]


async def test_several_pauses_are_answered_by_id() -> None:
    """In a fan-out, a finished sibling does not run again, and one answer at a time is fine."""
    calls: list[str] = []

    def quick(state: Work) -> dict[str, Any]:
        calls.append("quick")
        return {"log": ["quick"]}

    graph = StateGraph(Work).add_node("quick", quick)
    for name in ("x", "y"):
        graph.add_node(name, lambda state, name=name: {"log": [f"{name}={interrupt(name)}"]})
    for name in ("quick", "x", "y"):
        graph.add_edge(START, name).add_edge(name, END)
    app = graph.compile()
    result = await app.ainvoke(HELLO, T, response_granularity="full")
    pauses = {p["node"]: p["id"] for p in result["state"].execution_meta.interrupt_data["interrupts"]}
    assert pauses.keys() == {"x", "y"}
    with pytest.raises(InvalidInputError, match="Several"):
        await app.ainvoke({"resume": "1"}, T)
    result = await app.ainvoke({"resume": {pauses["y"]: 2}}, T, response_granularity="full")
    (left,) = result["state"].execution_meta.interrupt_data["interrupts"]
    assert left["node"] == "x"
    result = await app.ainvoke({"resume": 1}, T, response_granularity="full")
    assert result["state"].log == ["quick", "x=1", "y=2"]
    assert calls == ["quick"]


async def test_a_new_turn_leaves_the_question_behind() -> None:
    """Messages without `resume` start at the entry point."""
    app = app_of(("A", step("A")), ("ask", asks))
    await app.ainvoke(HELLO, T)
    await app.ainvoke(HELLO, T)
    assert await log_of(app) == ["A", "A"]
    with pytest.raises(StateEncodingError):
        await app.ainvoke({"resume": object()}, T)


async def test_a_question_that_is_no_data_is_an_error() -> None:
    """Typed, and the run can be repeated."""
    app = app_of(("A", lambda state: interrupt(object())))
    with pytest.raises(NodeEncodingError, match="'A'"):
        await app.ainvoke(HELLO, T)


def test_interrupt_outside_a_node() -> None:
    """Says where it belongs."""
    with pytest.raises(InvalidInputError, match="inside a node"):
        interrupt("?")


@pytest.mark.parametrize("go_on", [None, {}, {"resume": True}, {"messages": "more"}])
async def test_interrupt_before(go_on: Any) -> None:
    """The run holds before the node and goes on there, with whatever the next invoke brings."""
    app = app_of(("A", step("A")), ("B", step("B")), ("C", step("C")), interrupt_before=["B"])
    result = await app.ainvoke(HELLO, T, response_granularity="full")
    meta = result["state"].execution_meta
    assert (meta.status, meta.interrupted_node, meta.interrupt_reason) == (
        "interrupted_before",
        "B",
        "interrupt_before",
    )
    assert result["state"].log == ["A"]
    result = await app.ainvoke(go_on, T, response_granularity="full")
    assert result["state"].log == ["A", "B", "C"]
    assert result["meta"]["status"] == "completed"
    assert len(result["context"]) == (2 if "messages" in (go_on or {}) else 1)


async def test_interrupt_before_the_entry_point() -> None:
    """The input is kept, nothing has run."""
    app = app_of(("A", step("A")), interrupt_before=["A"])
    result = await app.ainvoke(HELLO, T, response_granularity="full")
    assert result["state"].log == []
    await app.ainvoke(None, T)
    assert await log_of(app) == ["A"]
    await app.ainvoke(HELLO, T)
    assert await log_of(app) == ["A"]


async def test_interrupt_after() -> None:
    """Also after the last node, where going on just ends the run."""
    app = app_of(("A", step("A")), ("B", step("B")), interrupt_after=["A", "B"])
    for log in (["A"], ["A", "B"]):
        result = await app.ainvoke(HELLO if log == ["A"] else None, T, response_granularity="full")
        assert result["meta"]["status"] == "interrupted_after"
        assert result["state"].log == log
    result = await app.ainvoke(None, T)
    assert result["meta"]["status"] == "completed"
    with pytest.raises(EmptyInputError):
        await app.ainvoke(None, T)


async def test_stop_takes_effect_at_the_next_boundary() -> None:
    """The node that runs ends, the one after does not start, and going on is possible."""
    running, may_end = asyncio.Event(), asyncio.Event()

    async def slow(state: Work) -> dict[str, Any]:
        running.set()
        await may_end.wait()
        return {"log": ["slow"]}

    app = app_of(("slow", slow), ("B", step("B")))
    run = asyncio.create_task(app.ainvoke(HELLO, T, response_granularity="full"))
    await running.wait()
    assert await app.astop(T) == {"ok": True, "running": True, "thread_id": "t"}
    may_end.set()
    result = await run
    meta = result["state"].execution_meta
    assert (meta.status, meta.interrupt_reason) == ("interrupted_after", "stop_requested")
    assert meta.is_stopped_requested()
    assert result["state"].log == ["slow"]
    result = await app.ainvoke(None, T, response_granularity="full")
    assert result["state"].log == ["slow", "B"]
    assert not result["state"].execution_meta.is_stopped_requested()


async def test_stop_on_an_idle_or_missing_thread_changes_nothing() -> None:
    """It does not stop the next run."""
    app = app_of(("A", step("A")))
    assert (await app.astop(T))["ok"] is False
    await app.ainvoke(HELLO, T)
    assert (await app.astop(T))["running"] is False
    result = await app.ainvoke(HELLO, T)
    assert result["meta"]["status"] == "completed"


async def test_closing_waits_for_runs_of_other_loops() -> None:
    """A blocking invoke, on the background loop, too ends at a boundary before the store closes."""
    running, may_end = threading.Event(), threading.Event()
    ended: list[str] = []

    class Closing(InMemoryCheckpointer):
        async def aclose(self) -> None:
            ended.append("closed")

    def slow(state: Work) -> dict[str, Any]:
        running.set()
        may_end.wait(30)
        ended.append("node")
        return {"log": ["slow"]}

    app = app_of(("slow", slow), ("B", step("B")), checkpointer=Closing())
    run = asyncio.create_task(asyncio.to_thread(app.invoke, HELLO, T))
    await asyncio.to_thread(running.wait)
    closing = asyncio.create_task(app.aclose())
    await asyncio.sleep(0)
    may_end.set()
    await closing
    assert ended == ["node", "closed"]
    assert (await run)["meta"]["status"] == "interrupted_after"


async def test_closing_cancels_what_does_not_end() -> None:
    """After its time; the caller is told, the thread is free, and the run can go on."""
    reached, hang = asyncio.Event(), True

    async def hangs(state: Work) -> dict[str, Any]:
        reached.set()
        if hang:
            await asyncio.Event().wait()
        return {"log": ["late"]}

    app = app_of(("hangs", hangs))
    run = asyncio.create_task(app.ainvoke(HELLO, T))
    await reached.wait()
    await app.aclose(timeout_s=0.01)
    with pytest.raises(ExecutionError, match="closed"):
        await run
    hang = False
    await app.ainvoke(None, T)
    assert await log_of(app) == ["late"]


async def test_closing_lets_a_run_reach_its_boundary() -> None:
    """Then it is stopped, durable, and can go on."""
    running, may_end = asyncio.Event(), asyncio.Event()

    async def slow(state: Work) -> dict[str, Any]:
        running.set()
        await may_end.wait()
        return {"log": ["slow"]}

    app = app_of(("slow", slow), ("B", step("B")))
    run = asyncio.create_task(app.ainvoke(HELLO, T))
    await running.wait()
    closing = asyncio.create_task(app.aclose())
    await asyncio.sleep(0)
    may_end.set()
    await closing
    assert (await run)["meta"]["status"] == "interrupted_after"
    await app.ainvoke(None, T)
    assert await log_of(app) == ["slow", "B"]
