"""Agents for tests of the service: AGENTFLOW_AGENTS=waits=tests.support.agents:waits,..."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.core.state.message import TokenUsages
from agentflow.utils import END, START, interrupt

AGENTS = ",".join(
    f"{name}={target}"
    for name, target in {
        "memory": "agentflow_hosting.agents.memory:graph",
        "echo": "agentflow_hosting.agents.echo:graph",
        "waits": "tests.support.agents:waits",
        "breaks": "tests.support.agents:breaks",
        "quotes": "tests.support.agents:quotes",
        "quits": "tests.support.agents:quits",
        "infinite": "tests.support.agents:infinite",
        "asks": "tests.support.agents:asks",
        "twice": "tests.support.agents:twice",
        "panel": "tests.support.agents:panel",
        "loops": "tests.support.agents:loops",
        "spends": "tests.support.agents:spends",
    }.items()
)

SECRET = "a secret of the agent's own"


async def first(state: AgentState) -> Message:
    """Say on one pipe that it runs, then wait for a word on another: both named by the message."""
    said, heard = state.context[-1].text().split("|")
    await asyncio.to_thread(Path(said).write_text, "running")
    await asyncio.to_thread(Path(heard).read_text)
    return Message.text_message("first", role="assistant")


async def second(_state: AgentState) -> Message:
    return Message.text_message("second", role="assistant")


async def counted(_state: AgentState) -> Message:
    usages = TokenUsages(prompt_tokens=30, completion_tokens=12, total_tokens=42)
    return Message.text_message("42", role="assistant").model_copy(update={"usages": usages})


async def broken(_state: AgentState) -> Message:
    raise RuntimeError(SECRET)


async def quoting(state: AgentState) -> Message:
    """As libraries do: what cannot be read is in the error's words."""
    raise ValueError(f"cannot read {state.context[-1].text()!r} with key {os.environ.get('QUOTED_KEY')}")


async def quitting(_state: AgentState) -> Message:
    sys.exit(3)


async def endless(_state: AgentState) -> dict[str, Any]:
    message = Message.text_message("x", role="assistant")
    return {"messages": message.model_copy(update={"metadata": {"x": float("inf")}})}


async def asking(_state: AgentState) -> Message:
    return Message.text_message(f"you said {interrupt({'question': 'really?'})}", role="assistant")


async def asking_twice(_state: AgentState) -> Message:
    first = interrupt("really?")
    return Message.text_message(f"you said {first} and {interrupt('really really?')}", role="assistant")


def pipes(folder: Path) -> tuple[Path, Path]:
    """A pair of pipes for the agent `waits`."""
    paths = folder / "running", folder / "go"
    for path in paths:
        os.mkfifo(path)
    return paths


def _single(node: Any) -> StateGraph[AgentState]:
    return StateGraph().add_node("MAIN", node).set_entry_point("MAIN").add_edge("MAIN", END)


waits = (
    StateGraph()
    .add_node("FIRST", first)
    .add_node("SECOND", second)
    .set_entry_point("FIRST")
    .add_edge("FIRST", "SECOND")
    .add_edge("SECOND", END)
)
spends = (
    StateGraph()
    .add_node("FIRST", counted)
    .add_node("SECOND", counted)
    .set_entry_point("FIRST")
    .add_edge("FIRST", "SECOND")
    .add_edge("SECOND", END)
)
breaks = _single(broken)
quotes = _single(quoting)
quits = _single(quitting)
infinite = _single(endless)
asks = _single(asking)
twice = _single(asking_twice)
panel = (
    StateGraph()
    .add_node("LAW", asking)
    .add_node("PRICE", asking)
    .add_edge(START, "LAW")
    .add_edge(START, "PRICE")
    .add_edge("LAW", END)
    .add_edge("PRICE", END)
)
loops = StateGraph().add_node("MAIN", second).set_entry_point("MAIN").add_edge("MAIN", "MAIN")
