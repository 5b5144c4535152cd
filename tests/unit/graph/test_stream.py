"""Streams: what each granularity shows, and what ends them."""

import asyncio
import threading
from typing import Any

import pytest

from agentflow.core.graph import CompiledGraph, StateGraph, StreamChunk
from agentflow.core.state import AgentState, Message
from agentflow.errors import NodeError
from agentflow.utils import END, START

HELLO = {"messages": [Message.text_message("hello")]}
T = {"thread_id": "t"}


def two_nodes() -> CompiledGraph[AgentState]:
    graph = StateGraph().add_node("A", lambda state: "from A").add_node("B", lambda state: "from B")
    return graph.add_edge(START, "A").add_edge("A", "B").add_edge("B", END).compile()


def summary(chunk: StreamChunk) -> str:
    if chunk.message is not None:
        return f"message {chunk.message.text()}"
    if chunk.data is not None:
        return f"{chunk.data['status']} {chunk.data['node']}"
    assert chunk.state is not None
    return f"state {len(chunk.state.context)}"


LOW = ["message hello", "message from A", "message from B"]
PARTIAL = ["message hello", "state 1", "message from A", "state 2", "message from B", "state 3"]
FULL = [
    "message hello", "state 1", "node_invoked __start__",
    "invoking_node A", "message from A", "state 2", "node_invoked A",
    "invoking_node B", "message from B", "state 3", "node_invoked B",
    "graph_invoked B",
]  # fmt: skip


@pytest.mark.parametrize(("granularity", "expected"), [("low", LOW), ("partial", PARTIAL), ("full", FULL)])
async def test_granularities(granularity: str, expected: list[str]) -> None:
    """In order, numbered without gaps, all of one run."""
    chunks = [chunk async for chunk in two_nodes().astream(HELLO, T, response_granularity=granularity)]
    assert [summary(chunk) for chunk in chunks] == expected
    assert [chunk.seq for chunk in chunks] == list(range(len(expected)))
    assert {(chunk.thread_id, chunk.metadata["is_new_thread"]) for chunk in chunks} == {("t", True)}
    assert len({chunk.run_id for chunk in chunks}) == 1


def test_blocking_stream() -> None:
    """The same from blocking code; leaving early is clean and the thread is free."""
    app = two_nodes()
    assert [summary(chunk) for chunk in app.stream(HELLO, T)] == LOW
    stream = app.stream(HELLO, T)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert [summary(chunk) for chunk in app.stream(HELLO, T)] == LOW
    assert [t.name for t in threading.enumerate()].count("agentflow-loop") == 1


async def test_an_error_ends_the_stream() -> None:
    """What was durable before it has been shown."""

    def bad(state: AgentState) -> None:
        raise ValueError("broken")

    app = StateGraph().add_node("A", lambda state: "fine").add_node("B", bad)
    app.add_edge(START, "A").add_edge("A", "B").add_edge("B", END)
    seen: list[str] = []

    async def read() -> None:
        async for chunk in app.compile().astream(HELLO, T):
            seen.append(summary(chunk))  # noqa: PERF401 - what came before the error counts

    with pytest.raises(NodeError, match="broken"):
        await read()
    assert seen == ["message hello", "message fine"]


async def test_bad_input_raises_before_the_first_chunk() -> None:
    """So a server can still answer with a status."""
    with pytest.raises(ValueError, match="granularity|valid"):
        await anext(two_nodes().astream(HELLO, T, response_granularity="huge"))


async def test_leaving_a_stream_cancels_its_run_at_the_last_durable_step() -> None:
    """The run ends with its reader and can go on."""
    reached, hang = asyncio.Event(), True

    async def hangs(state: AgentState) -> str:
        reached.set()
        if hang:
            await asyncio.Event().wait()
        return "late"

    graph = StateGraph().add_node("A", lambda state: "fine").add_node("B", hangs)
    app = graph.add_edge(START, "A").add_edge("A", "B").add_edge("B", END).compile()
    stream = app.astream(HELLO, T)
    assert [summary(await anext(stream)) for _ in range(2)] == ["message hello", "message fine"]
    await reached.wait()
    await stream.aclose()
    hang = False
    result: dict[str, Any] = await app.ainvoke(None, T, response_granularity="partial")
    assert [message.text() for message in result["context"]] == ["hello", "fine", "late"]
