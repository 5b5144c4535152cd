"""The workload: 10-turn chats on a graph of three nodes, text of a usual length."""

import itertools
from typing import Any

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import BaseCheckpointer
from agentflow.utils import END, START

TURNS = 10
QUESTION = "Could you tell me how many of the parcels from last week are still on their way? " * 2
ANSWER = "Of the parcels that were sent last week, seventeen have arrived and three are on their way. " * 4


async def plan(_state: AgentState, _config: dict[str, Any]) -> None:
    """A node that only looks."""


async def answer(_state: AgentState, _config: dict[str, Any]) -> Message:
    """A node that speaks."""
    return Message.text_message(ANSWER, role="assistant")


async def summarise(state: AgentState, _config: dict[str, Any]) -> dict[str, Any]:
    """A node that changes a field."""
    return {"context_summary": f"{len(state.context)} messages so far"}


def three_nodes(checkpointer: BaseCheckpointer) -> CompiledGraph[AgentState]:
    """The graph: input and three nodes are four checkpoints a turn."""
    graph = StateGraph()
    for node in (plan, answer, summarise):
        graph.add_node(node)
    graph.add_edge(START, "plan").add_edge("plan", "answer").add_edge("answer", "summarise")
    return graph.add_edge("summarise", END).compile(checkpointer)


class Chats:
    """Endless turns for one writer, a new thread every ten."""

    def __init__(self, app: CompiledGraph[AgentState], name: str) -> None:
        """Chats of the writer `name`."""
        self._app = app
        self._turns = ((f"{name}-{thread}", turn) for thread in itertools.count() for turn in range(TURNS))

    async def turn(self) -> None:
        """One turn."""
        thread_id, _ = next(self._turns)
        await self._app.ainvoke({"messages": [Message.text_message(QUESTION)]}, {"thread_id": thread_id})
