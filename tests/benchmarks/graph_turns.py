"""A graph of three nodes whose turns say what the workload's chats say."""

import itertools
import random
from typing import Any

from pydantic import Field

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import BaseCheckpointer
from agentflow.utils import END, START
from tests.benchmarks.workload import ANSWER_CHARACTERS, QUESTION_CHARACTERS, TURNS, text

_rng = random.Random(5)
QUESTIONS = [text(_rng, QUESTION_CHARACTERS) for _ in range(50)]
ANSWERS = [text(_rng, ANSWER_CHARACTERS) for _ in range(50)]


class BenchState(AgentState):
    """A state with a field that nodes change."""

    extra: dict[str, Any] = Field(default_factory=dict)


async def intake(state: BenchState, _config: dict[str, Any]) -> dict[str, Any]:
    """A node that changes a field."""
    return {"extra": {"n": len(state.context), "node": "intake"}}


async def agent(state: BenchState, _config: dict[str, Any]) -> Message:
    """A node that speaks."""
    return Message.text_message(ANSWERS[len(state.context) // 2 % 50], role="assistant")


async def finalize(state: BenchState, _config: dict[str, Any]) -> dict[str, Any]:
    """A node that changes it again."""
    return {"extra": {"n": len(state.context), "node": "finalize"}}


def three_nodes(checkpointer: BaseCheckpointer) -> CompiledGraph[BenchState]:
    """The graph: its input and three nodes are four checkpoints a turn."""
    graph = StateGraph(BenchState())
    for node in (intake, agent, finalize):
        graph.add_node(node)
    graph.add_edge(START, "intake").add_edge("intake", "agent").add_edge("agent", "finalize")
    return graph.add_edge("finalize", END).compile(checkpointer)


async def turn_of(app: CompiledGraph[BenchState], thread_id: str, question: str) -> None:
    """A user says something, and the graph answers."""
    await app.ainvoke({"messages": [Message.text_message(question)]}, {"thread_id": thread_id})


class Chats:
    """Endless turns of one writer, a new thread every `turns`."""

    def __init__(self, app: CompiledGraph[BenchState], name: str, *, turns: int = TURNS) -> None:
        """Chats of the writer `name`."""
        self._app = app
        self._turns = ((f"{name}-{thread}", turn) for thread in itertools.count() for turn in range(turns))

    async def turn(self) -> None:
        """One turn."""
        thread_id, turn = next(self._turns)
        await turn_of(self._app, thread_id, QUESTIONS[turn % 50])
