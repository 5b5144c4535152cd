"""A program that answers interrupts: `python -m tests.support.resuming_program DB REDIS FILE [DURABILITY]`.

For each line on stdin, a JSON list of [thread id, input], it runs them all at once and answers with a line of
JSON: for each what the thread waits for then, or the code of the error. REDIS may be `none`. The graph asks
again and again, until it is told `end`; told `die` for the first time it kills the process. Each answer that
takes effect is a line in FILE.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, append_items
from agentflow.errors import AgentFlowError
from agentflow.storage.checkpointer import BaseCheckpointer, PgCheckpointer
from agentflow.utils import END, START, Command, interrupt


class Asked(AgentState):
    """What was answered."""

    answers: Annotated[list[str], append_items] = Field(default_factory=list)


def asking_app(checkpointer: BaseCheckpointer, effects: Path) -> CompiledGraph[Asked]:
    """One node that asks until it is told `end`."""

    def note(text: str) -> None:
        with effects.open("a") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())

    def ask(state: Asked, config: dict[str, Any]) -> Command:
        answer = interrupt(len(state.answers))
        note(f"{config['thread_id']} {len(state.answers)} {answer}")
        if answer == "die" and effects.read_text().count(" die\n") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return Command(update={"answers": [answer]}, goto=END if answer == "end" else "ask")

    return StateGraph(Asked).add_node("ask", ask).add_edge(START, "ask").compile(checkpointer)


async def attempt(app: CompiledGraph[Asked], thread_id: str, given: Any, durability: str) -> Any:
    """Ids of what waits after a run, or the code of its error."""
    try:
        result = await app.ainvoke(given, {"thread_id": thread_id, "durability": durability})
    except AgentFlowError as error:
        return error.code
    return [one["id"] for one in result["meta"]["interrupts"]]


async def main() -> None:
    """Run until stdin ends."""
    db_url, redis_url, effects, durability = [*sys.argv[1:], "sync"][:4]
    checkpointer = PgCheckpointer(db_url, redis_url=None if redis_url == "none" else redis_url)
    app = asking_app(checkpointer, Path(effects))
    while line := await asyncio.to_thread(sys.stdin.readline):
        given = json.loads(line)
        done = await asyncio.gather(*(attempt(app, one, what, durability) for one, what in given))
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()
    await checkpointer.aclose()


if __name__ == "__main__":
    asyncio.run(main())
