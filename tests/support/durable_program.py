"""A program that dies in its third node: `python -m tests.support.durable_program DB DURABILITY WHEN`.

WHEN is `at once`, or `later`: once the store holds the two nodes before, as it does for a run that writes
while it works.
"""

import asyncio
import os
import signal
import sys

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.utils import END

THREAD = {"thread_id": "t"}


def durable_app(checkpointer: PgCheckpointer, dies: str) -> CompiledGraph[AgentState]:
    """Nodes A, B and C, each says its name."""

    async def c(state: AgentState) -> Message:
        if dies == "later":
            found = await checkpointer.load(Scope(), "t")
            while found is None or found.head < 3:
                found = await checkpointer.load(Scope(), "t")
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return Message.text_message("C", role="assistant")

    async def a(state: AgentState) -> Message:
        return Message.text_message("A", role="assistant")

    async def b(state: AgentState) -> Message:
        return Message.text_message("B", role="assistant")

    graph = StateGraph().add_node("A", a).add_node("B", b).add_node("C", c)
    graph.set_entry_point("A").add_edge("A", "B").add_edge("B", "C").add_edge("C", END)
    return graph.compile(checkpointer)


def main() -> None:
    """Run until the end of this process."""
    db_url, durability, dies = sys.argv[1:]
    app = durable_app(PgCheckpointer(db_url, redis_url=None), dies)
    asyncio.run(app.ainvoke({"messages": "go"}, THREAD | {"durability": durability}))


if __name__ == "__main__":
    main()
