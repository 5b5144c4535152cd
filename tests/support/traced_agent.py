"""An agent that asks a model, uses a tool, and asks again; the model is at AGENTFLOW_TEST_MODEL_URL."""

import os

from agentflow.core.graph import Agent, StateGraph, ToolNode
from agentflow.core.graph.tool_node import route_tools
from agentflow.core.state import AgentState
from agentflow.utils import END

MODEL_KEY = "the-models-own-key"


def look_up(word: str) -> str:
    """Look a word up."""
    if word == "broken-word":
        raise RuntimeError(f"no {word}")
    return f"what {word} means"


def graph() -> StateGraph[AgentState]:
    """The graph, for the model of this process."""
    model = Agent(
        "some-model", base_url=os.environ["AGENTFLOW_TEST_MODEL_URL"], api_key=MODEL_KEY, tool_node="TOOL"
    )
    return (
        StateGraph()
        .add_node("MAIN", model)
        .add_node("TOOL", ToolNode([look_up]))
        .set_entry_point("MAIN")
        .add_edge("TOOL", "MAIN")
        .add_conditional_edges("MAIN", route_tools("TOOL"), ["TOOL", END])
    )
