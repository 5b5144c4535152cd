"""A process that runs a LangGraph graph is killed; another one goes on."""

import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.leaves_connections  # a killed process closes nothing
async def test_a_killed_step_runs_only_what_was_not_done(migrated_database_url: str) -> None:
    """The task that had finished is not run again; the one that was running is."""
    command = [sys.executable, "-m", "tests.support.langgraph_program", migrated_database_url, "t"]
    observer = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = {process.stdout.readline().strip() for _ in range(2)}
        done = "SELECT count(*) FROM agentflow_writes WHERE channel = 'found'"
        while not await observer.fetchval(done):
            assert process.poll() is None
        process.kill()
    await observer.close()
    assert said == {"quick", "slow"}
    again = subprocess.run([*command, "--go"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == ["slow", "['QUICK', 'SLOW']"]
