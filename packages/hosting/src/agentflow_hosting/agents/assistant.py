"""`assistant`: a model behind any OpenAI-compatible endpoint, when one is configured."""

import os

from agentflow.core.graph import Agent, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.utils import END

_UNSET = (
    "No model is configured. Set AGENTFLOW_MODEL to a model's name and AGENTFLOW_MODEL_BASE_URL to its "
    "OpenAI-compatible endpoint (with AGENTFLOW_MODEL_API_KEY if it asks for a key), then restart."
)


async def explain(_state: AgentState) -> Message:
    """What to set."""
    return Message.text_message(_UNSET, role="assistant")


def graph() -> StateGraph[AgentState]:
    """The graph for the settings of this process."""
    model = os.environ.get("AGENTFLOW_MODEL")
    base_url = os.environ.get("AGENTFLOW_MODEL_BASE_URL")
    # A key of OpenAI's is for OpenAI: no other endpoint is told it.
    fallback = None if base_url else os.environ.get("OPENAI_API_KEY")
    api_key = os.environ.get("AGENTFLOW_MODEL_API_KEY") or fallback
    built = StateGraph()
    if model and (base_url or api_key):
        # A local endpoint asks for no key, but the client insists on having one.
        built.add_node("MAIN", Agent(model, base_url=base_url, api_key=api_key or "none"))
    else:
        built.add_node("MAIN", explain)
    return built.set_entry_point("MAIN").add_edge("MAIN", END)
