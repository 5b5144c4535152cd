"""Tools and their keys: what finished never runs again, whatever ends a run. Cancelling is a crash."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from agentflow.core.graph import CompiledGraph, StateGraph, ToolNode
from agentflow.core.graph.tool_node import route_tools
from agentflow.core.state import AgentState, Message, ToolCallBlock
from agentflow.errors import InvalidInputError, NodeError, StaleCheckpointError, TooLargeError
from agentflow.storage.checkpointer import InMemoryCheckpointer, Scope
from agentflow.storage.checkpointer.types import CheckpointWrite, Committed, NewThread
from agentflow.utils import END, START, ToolCall, current_tool_call, interrupt

T = {"thread_id": "t"}
GO = {"messages": "go"}


class World:
    """What tools did: by tool the calls it answered, and tools to do it with."""

    def __init__(self) -> None:
        self.calls: dict[str, list[ToolCall]] = defaultdict(list)
        self.hangs: set[str] = set()
        self.began = asyncio.Event()

    def tool(self, name: str, then: Callable[[], Any] = lambda: "ok") -> Callable[..., Awaitable[Any]]:
        """A tool that takes note of its call; while its name is in `hangs` it never ends."""

        async def work() -> Any:
            self.calls[name].append(current_tool_call())
            if name in self.hangs:
                self.began.set()
                await asyncio.Event().wait()
            return then()

        work.__name__ = name
        return work

    def attempts(self, name: str) -> list[int]:
        return [call.attempt for call in self.calls[name]]

    def keys(self, name: str) -> set[str]:
        return {call.key for call in self.calls[name]}


def asking(*calls: tuple[str, str]) -> Callable[[AgentState], Message]:
    """A model that makes the calls, each an id and a tool, whenever a user spoke."""

    def main(state: AgentState) -> Message:
        if state.context[-1].role != "user":
            return Message.text_message("done", role="assistant")
        blocks = [ToolCallBlock(id=call_id, name=name) for call_id, name in calls]
        return Message(role="assistant", content=list(blocks))

    return main


def app_of(
    tools: ToolNode, *calls: tuple[str, str], store: InMemoryCheckpointer | None = None
) -> CompiledGraph[AgentState]:
    graph = StateGraph().add_node("MAIN", asking(*calls)).add_node("TOOL", tools)
    graph.set_entry_point("MAIN").add_edge("TOOL", "MAIN")
    graph.add_conditional_edges("MAIN", route_tools("TOOL"), ["TOOL", END])
    return graph.compile(store or InMemoryCheckpointer())


async def crash(app: CompiledGraph[AgentState], world: World) -> None:
    """Start a run and end it while a tool hangs; afterwards none does."""
    run = asyncio.create_task(app.ainvoke(GO, T))
    await world.began.wait()
    for _ in range(100):  # let the tools beside it end
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    world.hangs.clear()


async def test_only_what_did_not_finish_runs_again() -> None:
    """With the same key and one attempt more; the ledger says what happened."""
    world = World()
    world.hangs.add("slow")
    app = app_of(ToolNode([world.tool("slow"), world.tool("fast")]), ("1", "slow"), ("2", "fast"))
    await crash(app, world)
    assert (await app.ainvoke(None, T))["messages"][-1].text() == "done"
    assert (world.attempts("fast"), world.attempts("slow")) == ([1], [1, 2])
    assert (len(world.keys("fast")), len(world.keys("slow"))) == (1, 1)
    assert not world.keys("fast") & world.keys("slow")
    entries = await app.checkpointer.tool_calls(Scope(), "t")
    assert [(e.name, e.node, e.call_id, e.attempt, e.finished_at is not None) for e in entries] == [
        ("slow", "TOOL", "1", 2, True),
        ("fast", "TOOL", "2", 1, True),
    ]
    assert entries[0].result == '{"output":"ok","is_error":false,"status":"completed"}'


async def test_keys_are_of_one_turn() -> None:
    """A model that repeats its call ids, in the next turn and twice in one message, repeats no key."""
    world = World()
    app = app_of(ToolNode([world.tool("count")]), ("same", "count"), ("same", "count"))
    for _ in range(2):
        answer = await app.ainvoke(GO, T)
        assert [message.role for message in answer["messages"]] == [
            "user", "assistant", "tool", "tool", "assistant",
        ]  # fmt: skip
    assert world.attempts("count") == [1, 1, 1, 1]
    assert len(world.keys("count")) == 4
    await app.checkpointer.delete_thread(Scope(), "t")
    await app.ainvoke(GO, T)
    assert len(world.keys("count")) == 6


async def test_each_result_reaches_its_call_when_ids_repeat() -> None:
    """Also when the first of two calls pauses and the second does not."""
    world = World()

    def ask() -> str:
        return str(interrupt("?")) if len(world.calls["ask"]) != 2 else "second"

    app = app_of(ToolNode([world.tool("ask", ask)]), ("same", "ask"), ("same", "ask"))
    paused = await app.ainvoke(GO, T)
    assert paused["meta"]["status"] == "interrupted_before"
    answer = await app.ainvoke({"resume": "first"}, T)
    results = [result.output for message in answer["messages"] for result in message.tool_results()]
    assert results == ["first", "second"]
    assert world.attempts("ask") == [1, 1, 2]


async def test_a_tool_that_asks_keeps_its_key() -> None:
    """Over its pauses, and when another tool finished beside it."""
    world = World()
    tools = ToolNode([world.tool("ask", lambda: f"{interrupt('a')} {interrupt('b')}"), world.tool("mail")])
    app = app_of(tools, ("1", "ask"), ("2", "mail"))
    await app.ainvoke(GO, T)
    await app.ainvoke({"resume": "yes"}, T)
    answer = await app.ainvoke({"resume": "sure"}, T)
    assert answer["messages"][0].tool_results()[0].output == "yes sure"
    assert len(world.keys("ask")) == 1
    assert world.attempts("ask") == list(range(1, len(world.calls["ask"]) + 1))
    assert world.attempts("mail") == [1]


async def test_a_tool_over_its_time_has_finished() -> None:
    """Its result is that it failed; the crash of a tool beside it does not run it again."""
    world = World()
    hangs_on = asyncio.Event()
    late = world.tool("late", lambda: None)

    async def stubborn() -> str:
        call = world.tool("stubborn")
        if not world.calls["stubborn"]:
            world.hangs.add("stubborn")
            try:
                await call()
            except asyncio.CancelledError:
                hangs_on.set()
                await asyncio.Event().wait()
        return str(await call())

    world.hangs.add("late")
    app = app_of(ToolNode([late, stubborn]), ("1", "late"), ("2", "stubborn"))
    run = asyncio.create_task(app.ainvoke(GO, T | {"tool_timeout": 0.01}))
    await hangs_on.wait()
    while not any(e.result for e in await app.checkpointer.tool_calls(Scope(), "t")):  # noqa: ASYNC110 - soon
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    world.hangs.clear()
    answer = await app.ainvoke(None, T)
    assert "took longer" in answer["messages"][0].text()
    assert (world.attempts("late"), world.attempts("stubborn")) == ([1], [1, 2])


async def test_tool_nodes_side_by_side() -> None:
    """Each has keys of its own for the same calls; a finished node's tools rest while its sibling hangs."""
    world = World()
    world.hangs.add("slow")
    graph = StateGraph().add_node("MAIN", asking(("1", "slow"), ("2", "fast")))
    graph.add_node("A", ToolNode([world.tool("slow"), world.tool("fast")]))
    graph.add_node("B", ToolNode([world.tool("fast")])).add_node("C", lambda state: {"context_summary": "c"})
    graph.add_edge(START, "MAIN")
    for node in ("A", "B", "C"):
        graph.add_edge("MAIN", node).add_edge(node, END)
    app = graph.compile()
    await crash(app, world)
    await app.ainvoke(None, T)
    assert (world.attempts("slow"), world.attempts("fast")) == ([1, 2], [1, 1])
    assert len(world.keys("fast")) == 2
    entries = await app.checkpointer.tool_calls(Scope(), "t")
    assert {(e.node, e.name) for e in entries} == {("A", "slow"), ("A", "fast"), ("B", "fast")}
    assert all(entry.finished_at for entry in entries)


async def test_results_survive_a_step_that_fails_for_another_reason() -> None:
    """A node beside the tools raises: the tools' answer is kept all the same."""
    world = World()
    fails = [True]

    async def broken(state: AgentState) -> None:
        if fails.pop():
            raise LookupError("broken")

    graph = StateGraph().add_node("MAIN", asking(("1", "count")))
    graph.add_node("TOOL", ToolNode([world.tool("count")])).add_node("BROKEN", broken)
    graph.set_entry_point("MAIN").add_edge("MAIN", "TOOL").add_edge("MAIN", "BROKEN")
    app = graph.add_edge("TOOL", END).add_edge("BROKEN", END).compile()
    with pytest.raises(NodeError, match="broken"):
        await app.ainvoke(GO, T)
    fails.append(False)
    await app.ainvoke(None, T)
    assert len(world.keys("count")) == 1


class Overtaken(InMemoryCheckpointer):
    """Somebody writes to the thread right after MAIN's checkpoint."""

    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        committed = super()._append(scope, thread_id, attributes, write)
        if write.node == "MAIN":
            other = replace(write, expected_head=committed.head, node="OTHER", added=(), patch={})
            super()._append(scope, thread_id, attributes, replace(other, checkpoint_id=uuid.uuid4()))
        return committed


async def test_a_run_that_was_overtaken_starts_no_tool() -> None:
    """Another run wrote first: it is told so, and the tool stays unrun."""
    world = World()
    app = app_of(ToolNode([world.tool("count")]), ("1", "count"), store=Overtaken())
    with pytest.raises(StaleCheckpointError):
        await app.ainvoke(GO, T)
    assert world.attempts("count") == []
    assert (await app.ainvoke(None, T))["messages"][-1].text() == "done"


async def test_a_result_that_cannot_be_stored_is_an_error_of_the_run() -> None:
    """It says so each time; the thread goes on with something smaller."""
    sizes = [2 * 1024 * 1024, 2 * 1024 * 1024, 1]
    world = World()
    app = app_of(ToolNode([world.tool("big", lambda: "x" * sizes.pop(0))]), ("1", "big"))
    for given in (GO, None):
        with pytest.raises(TooLargeError):
            await app.ainvoke(given, T)
    state = await app.aget_state(T)
    assert state is not None
    assert state.execution_meta.status == "error"
    assert (await app.ainvoke(None, T))["messages"][0].text() == "x"
    assert world.attempts("big") == [1, 2, 3]


async def test_the_key_is_handed_to_tools_that_want_it() -> None:
    """As `tool_key`, which no model sees; outside of a graph tools run without a ledger."""
    seen: list[str] = []

    def pay(tool_key: str) -> str:
        seen.append(tool_key)
        assert current_tool_call().key == tool_key
        return "paid"

    tools = ToolNode([pay])
    assert tools.describe()[0]["parameters"]["properties"] == {}
    await app_of(tools, ("1", "pay")).ainvoke(GO, T)
    call = Message(role="assistant", content=[ToolCallBlock(id="1", name="pay")])
    assert await tools(AgentState(context=[call]), {})
    assert len(set(seen)) == 2
    with pytest.raises(InvalidInputError, match="inside a tool"):
        current_tool_call()


async def test_ids_no_column_can_hold() -> None:
    """What a model writes is its own: a NUL in a call's id is no reason to fail."""
    world = World()
    app = app_of(ToolNode([world.tool("count")]), ("a\0b", "count"))
    assert (await app.ainvoke(GO, T))["messages"][-1].text() == "done"
    assert world.calls["count"][0].call_id == "a\0b"
