"""A program that is killed in the middle of a step: `python -m tests.support.langgraph_program DB THREAD`.

Its graph runs one task a topic side by side. The task `slow` waits to be killed; with `--go` it ends. Each
task says its topic on a line when it starts.
"""

import os
import sys
import threading
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.storage.checkpointer import PgCheckpointer
from tests.support.langgraph_graphs import Builder, Work


def research(state: Work) -> dict[str, Any]:
    """Finds something on the topic."""
    os.write(1, f"{state['topic']}\n".encode())  # in one piece: two threads say it at once
    if state["topic"] == "slow" and "--go" not in sys.argv:
        threading.Event().wait()
    return {"found": [state["topic"].upper()]}


def split(state: Work) -> list[Send]:
    """One task a topic."""
    return [Send("research", {"topic": topic}) for topic in state["topics"]]


def main() -> None:
    """Start the run, or with `--go` take it up where it was."""
    db_url, thread_id = [word for word in sys.argv[1:] if word != "--go"]
    builder: Builder = StateGraph(Work)
    builder.add_node("research", research)
    builder.add_conditional_edges(START, split)
    builder.add_edge("research", END)
    graph = builder.compile(checkpointer=AgentFlowSaver(PgCheckpointer(db_url, None)))
    start = None if "--go" in sys.argv else {"topics": ["quick", "slow"]}
    result = graph.invoke(start, {"configurable": {"thread_id": thread_id}}, durability="sync")
    print(sorted(result["found"]), flush=True)


if __name__ == "__main__":
    main()
