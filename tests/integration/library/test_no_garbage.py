"""What a run leaves for the garbage collector: nothing, whose collections stop the whole process."""

import gc
from typing import Any

import pytest

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.utils import END

_RUNS = 25


async def answer(state: AgentState) -> Message:
    return Message.text_message("hello", role="assistant")


def graph_of(store: PgCheckpointer) -> CompiledGraph[AgentState]:
    graph = StateGraph()
    graph.add_node("answer", answer)
    graph.set_entry_point("answer")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=store)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_frees_all_that_it_made(database_url: str, redis_url: str, durability: str) -> None:
    """Its thread, session, lease and state refer to each other in no circle."""
    store = PgCheckpointer(database_url, redis_url=redis_url)
    await store.asetup()
    app = graph_of(store)

    async def turn(name: str) -> None:
        config: dict[str, Any] = {"thread_id": name, "durability": durability}
        await app.ainvoke({"messages": [Message.text_message("hi")]}, config)

    try:
        await turn("warm")
        gc.collect()
        gc.disable()
        for i in range(_RUNS):
            await turn(f"t{i}")
        assert gc.collect() < _RUNS
    finally:
        gc.enable()
        await store.aclose()
