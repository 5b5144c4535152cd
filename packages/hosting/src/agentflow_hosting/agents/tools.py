"""`tools`: asks the client to run a tool, and answers with its result."""

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message, RemoteToolCallBlock
from agentflow.core.state.message import new_id
from agentflow.utils import END


async def ask_or_answer(state: AgentState) -> Message:
    """On a user's message ask for `get_time`; on its result answer with it."""
    results = state.context[-1].tool_results() if state.context else []
    if results:
        return Message.text_message(f"tool said: {results[-1].output}", role="assistant")
    call = RemoteToolCallBlock(id=f"call_{new_id()}", name="get_time", args={"tz": "UTC"})
    return Message.tool_message([call])


graph = StateGraph().add_node("MAIN", ask_or_answer).set_entry_point("MAIN").add_edge("MAIN", END)
