"""A program that dies beside its tools: `python -m tests.support.tool_program DB REDIS FACE POINT FILE`.

The graph asks for tools; each notes its key and attempt in FILE, its effect on the world. The process kills
itself at POINT, as a machine that fails would.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Never

from agentflow.core.graph import CompiledGraph, StateGraph, ToolNode
from agentflow.core.graph.tool_node import route_tools
from agentflow.core.state import AgentState, Message, ToolCallBlock
from agentflow.storage.checkpointer import BaseCheckpointer, Committed, PgCheckpointer
from agentflow.storage.checkpointer.postgres_session import PgThreadSession
from agentflow.storage.checkpointer.types import CheckpointWrite, ToolResult, ToolStart, ToolStarts
from agentflow.utils import END, current_tool_call

POINTS = ("before its intent", "after its intent", "in the tool", "before its result", "after its result")
BESIDE = "beside a running one"
THREAD = {"thread_id": "t"}


def die() -> Never:
    """End as a killed process does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class DyingSession(PgThreadSession):
    """Dies at a named point of what it is told."""

    point = ""

    async def start_tools(self, starts: ToolStarts) -> Sequence[ToolStart]:
        if self.point == "before its intent":
            die()
        found = await super().start_tools(starts)
        if self.point == "after its intent":
            die()
        return found

    async def finish_tools(self, thread_no: int, results: Sequence[ToolResult]) -> None:
        await super().finish_tools(thread_no, results)
        if self.point == BESIDE:
            die()

    async def append(self, write: CheckpointWrite) -> Committed:
        if write.tool_results and self.point == "before its result":
            die()
        committed = await super().append(write)
        if write.tool_results and self.point == "after its result":
            die()
        return committed


class DyingCheckpointer(PgCheckpointer):
    """Hands out sessions that die."""

    point = ""

    def session(self, *args: Any, **kwargs: Any) -> PgThreadSession:
        """As ever, with a point to die at."""
        session = super().session(*args, **kwargs)
        session.__class__ = DyingSession
        session.point = self.point  # type: ignore[attr-defined]
        return session


def tool_app(
    checkpointer: BaseCheckpointer, effects: Path, point: str, *calls: str
) -> CompiledGraph[AgentState]:
    """MAIN asks for the calls when a user spoke, and says "done" on their results."""

    def note(name: str) -> str:
        call = current_tool_call()
        with effects.open("a") as file:
            file.write(f"{name} {call.key} {call.attempt}\n")
            file.flush()
            os.fsync(file.fileno())
        return name

    def charge() -> str:
        done = note("charge")
        if point == "in the tool":
            die()
        return done

    async def slow() -> str:
        done = note("slow")
        if point == BESIDE:
            await asyncio.Event().wait()
        return done

    def main(state: AgentState) -> Message:
        if state.context[-1].role != "user":
            return Message.text_message("done", role="assistant")
        return Message(role="assistant", content=[ToolCallBlock(id="1", name=name) for name in calls])

    graph = StateGraph().add_node("MAIN", main).add_node("TOOL", ToolNode([charge, slow]))
    graph.set_entry_point("MAIN").add_edge("TOOL", "MAIN")
    return graph.add_conditional_edges("MAIN", route_tools("TOOL"), ["TOOL", END]).compile(checkpointer)


async def run(app: CompiledGraph[AgentState], face: str, given: dict[str, Any] | None) -> list[str]:
    """The texts of one run, by invoke or stream."""
    if face == "invoke":
        return [message.text() for message in (await app.ainvoke(given, THREAD))["messages"]]
    return [chunk.message.text() async for chunk in app.astream(given, THREAD) if chunk.message]


def main() -> None:
    """Run until the point."""
    db_url, redis_url, face, point, file = sys.argv[1:]
    checkpointer = DyingCheckpointer(db_url, redis_url)
    checkpointer.point = point
    calls = ("charge", "slow") if point == BESIDE else ("charge",)
    asyncio.run(run(tool_app(checkpointer, Path(file), point, *calls), face, {"messages": "go"}))


__all__ = ["BESIDE", "POINTS", "THREAD", "run", "tool_app"]

if __name__ == "__main__":
    main()
