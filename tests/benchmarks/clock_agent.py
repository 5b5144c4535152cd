"""`clock`: answers with the moment at which its node began."""

import time

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.utils import END


async def tell(_state: AgentState) -> Message:
    """Seconds since the epoch."""
    return Message.text_message(repr(time.time()), role="assistant")


graph = StateGraph().add_node("MAIN", tell).set_entry_point("MAIN").add_edge("MAIN", END)
