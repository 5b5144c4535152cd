"""An agent of three steps that notes each of them in a file: what ran twice stands there twice."""

import asyncio
import os
from pathlib import Path

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.utils import END


def _write(line: str) -> None:
    with Path(os.environ["AGENTFLOW_TEST_NOTES"]).open("a") as notes:
        notes.write(line)


async def _note(step: str, config: dict[str, object]) -> None:
    """Before the step's checkpoint, so that one which is not stored may run again."""
    _write(f"{config['run_id']} {step}\n")
    await asyncio.sleep(0.02)  # long enough to be killed in


async def one(_state: AgentState, config: dict[str, object]) -> Message:
    await _note("one", config)
    return Message.text_message("one", role="assistant")


async def two(_state: AgentState, config: dict[str, object]) -> Message:
    await _note("two", config)
    return Message.text_message("two", role="assistant")


async def three(state: AgentState, config: dict[str, object]) -> Message:
    await _note("three", config)
    said = next(message.text() for message in reversed(state.context) if message.role == "user")
    return Message.text_message(f"done: {said}", role="assistant")


graph = (
    StateGraph()
    .add_node("ONE", one)
    .add_node("TWO", two)
    .add_node("THREE", three)
    .set_entry_point("ONE")
    .add_edge("ONE", "TWO")
    .add_edge("TWO", "THREE")
    .add_edge("THREE", END)
)
