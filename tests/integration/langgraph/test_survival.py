"""A process that runs a LangGraph graph is killed; another one goes on."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

ROOT = Path(__file__).parents[3]
DONE = "SELECT count(*) FROM agentflow_writes WHERE channel = 'found'"


async def ask(database_url: str, query: str) -> Any:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.leaves_connections  # a killed process closes nothing
def test_a_killed_step_runs_only_what_was_not_done(migrated_database_url: str) -> None:
    """The task that had finished is not run again; the one that was running is."""
    command = [sys.executable, "-m", "tests.support.langgraph_program", migrated_database_url, "t"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = {process.stdout.readline().strip() for _ in range(2)}
        while not asyncio.run(ask(migrated_database_url, DONE)):
            assert process.poll() is None
        process.kill()
    assert said == {"quick", "slow"}
    again = subprocess.run([*command, "--go"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == ["slow", "['QUICK', 'SLOW']"]
