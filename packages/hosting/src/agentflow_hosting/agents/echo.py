"""`echo`: answers what was said."""

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.utils import END


async def answer(state: AgentState) -> Message:
    """The last user message, with `echo: ` before it."""
    said = next((message for message in reversed(state.context) if message.role == "user"), None)
    return Message.text_message(f"echo: {said.text() if said else ''}", role="assistant")


graph = StateGraph().add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END)
