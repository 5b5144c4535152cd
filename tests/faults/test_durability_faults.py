"""What survives a killed process, in each durability mode; going on gives the same in all of them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentflow.storage.checkpointer import PgCheckpointer
from tests.support.durable_program import THREAD, durable_app

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.leaves_connections  # those of killed processes


def killed(db_url: str, durability: str, dies: str) -> None:
    command = [sys.executable, "-m", "tests.support.durable_program", db_url, durability, dies]
    ended = subprocess.run(command, cwd=ROOT, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("durability", "dies", "survives"),
    [
        ("sync", "at once", [["go", "A", "B"]]),
        ("async", "later", [["go", "A", "B"]]),
        ("async", "at once", [["go"], ["go", "A"], ["go", "A", "B"]]),
        ("exit", "at once", [["go"]]),
    ],
)
async def test_killed_in_the_third_node(
    database_url: str, durability: str, dies: str, survives: list[list[str]]
) -> None:
    """sync: every node before. async: the input and the first of them, each whole. exit: the input."""
    killed(database_url, durability, dies)
    checkpointer = PgCheckpointer(database_url, redis_url=None)
    app = durable_app(checkpointer, dies="")
    state = await app.aget_state(THREAD)
    assert state is not None
    assert [message.text() for message in state.context] in survives
    assert (await app.ainvoke(None, THREAD | {"durability": durability}))["meta"]["status"] == "completed"
    state = await app.aget_state(THREAD)
    assert state is not None
    assert [message.text() for message in state.context] == ["go", "A", "B", "C"]
    await checkpointer.aclose()
