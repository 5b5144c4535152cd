"""An agent whose second step waits for as long as a file is not there."""

import asyncio
import os
from pathlib import Path

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.utils import END


async def first(_state: AgentState) -> Message:
    return Message.text_message("first", role="assistant")


async def second(_state: AgentState) -> Message:
    go = Path(os.environ["AGENTFLOW_TEST_GO"])
    while not await asyncio.to_thread(go.exists):  # noqa: ASYNC110 - another process tells
        await asyncio.sleep(0.02)
    return Message.text_message("second", role="assistant")


graph = (
    StateGraph()
    .add_node("FIRST", first)
    .add_node("SECOND", second)
    .set_entry_point("FIRST")
    .add_edge("FIRST", "SECOND")
    .add_edge("SECOND", END)
)
