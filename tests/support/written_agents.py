"""Agents that write what they are told into every field of a message, of the state, and of an error.

AGENTFLOW_AGENTS=scribbles=tests.support.written_agents:scribbles,...
"""

from typing import Annotated, Any, Final

from pydantic import Field

from agentflow.core.graph import StateGraph
from agentflow.core.state import (
    AgentState,
    DocumentBlock,
    ErrorBlock,
    MediaRef,
    Message,
    ReasoningBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    merge_dict,
)
from agentflow.utils import END, interrupt
from tests.support.canaries import canary

WRITTEN_AGENTS: Final = ",".join(
    f"{name}=tests.support.written_agents:{name}" for name in ("scribbles", "wonders", "complains")
)
# A comma ends a node's name.
NODE: Final = canary("node")


class Notes(AgentState):
    """A state with a field of the agent's own."""

    notes: Annotated[dict[str, str], merge_dict] = Field(default_factory=dict)


async def scribble(_state: Notes) -> dict[str, Any]:
    """A message with a block of each kind that a page shows."""
    message = Message(
        role="assistant",
        content=[
            TextBlock(text=canary("answer")),
            ReasoningBlock(summary=canary("reasoning")),
            ToolCallBlock(id="1", name=canary("tool"), args={canary("argument"): canary("value")}),
            ToolResultBlock(call_id="1", output={"found": canary("result")}),
            ToolResultBlock(call_id="2", output=canary("tool-error"), is_error=True),
            ErrorBlock(message=canary("error")),
            DocumentBlock(media=MediaRef(kind="url", url=canary("url"), mime_type=canary("kind"))),
        ],
        metadata={canary("message-key"): canary("message-value")},
    )
    return {"messages": message, "notes": {canary("state-key"): canary("state-value")}}


async def wonder(_state: AgentState) -> Message:
    return Message.text_message(f"you said {interrupt({'question': canary('question')})}", role="assistant")


async def complain(state: AgentState) -> Message:
    raise RuntimeError(state.context[-1].text())


scribbles = StateGraph(Notes).add_node(NODE, scribble).set_entry_point(NODE).add_edge(NODE, END)
wonders = StateGraph().add_node("MAIN", wonder).set_entry_point("MAIN").add_edge("MAIN", END)
complains = StateGraph().add_node("MAIN", complain).set_entry_point("MAIN").add_edge("MAIN", END)
