"""Tools around a killed process: what finished never runs again, what was running does, with the same key."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from tests.support.tool_program import BESIDE, POINTS, run, tool_app

ROOT = Path(__file__).parents[2]
# How often the tool had its effect, and the attempts it knew of.
EFFECTS = {
    "before its intent": ["1"],
    "after its intent": ["2"],
    "in the tool": ["1", "2"],
    "before its result": ["1", "2"],
    "after its result": ["1"],
}

pytestmark = pytest.mark.leaves_connections  # those of killed processes


def killed(db_url: str, redis_url: str, face: str, point: str, effects: Path) -> None:
    command = [sys.executable, "-m", "tests.support.tool_program", db_url, redis_url, face, point]
    ended = subprocess.run([*command, str(effects)], cwd=ROOT, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL


def read(effects: Path) -> list[tuple[str, str, str]]:
    lines = effects.read_text().splitlines() if effects.exists() else []
    return [(name, key, attempt) for name, key, attempt in map(str.split, lines)]


@pytest.mark.parametrize("face", ["invoke", "stream"])
@pytest.mark.parametrize("point", POINTS)
async def test_killed(point: str, face: str, database_url: str, redis_url: str, tmp_path: Path) -> None:
    """The run goes on in another process: one key, and no effect after the result was stored."""
    effects = tmp_path / "effects"
    killed(database_url, redis_url, face, point, effects)
    # The lock of the dead run is not waited for: the head protects the thread.
    checkpointer = PgCheckpointer(database_url, redis_url=None)
    texts = await run(tool_app(checkpointer, effects, "", "charge"), face, None)
    assert texts[-1] == "done"
    seen = read(effects)
    assert [attempt for _, _, attempt in seen] == EFFECTS[point]
    assert len({key for _, key, _ in seen}) == 1
    [entry] = await checkpointer.tool_calls(Scope(), "t")
    assert (str(entry.key), str(entry.attempt)) == seen[-1][1:]
    assert entry.finished_at is not None
    await checkpointer.aclose()


@pytest.mark.parametrize("face", ["invoke", "stream"])
async def test_killed_while_another_runs(
    face: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Of two tools side by side, calls of the same id, the one that ended is durable before the step is."""
    effects = tmp_path / "effects"
    killed(database_url, redis_url, face, BESIDE, effects)
    checkpointer = PgCheckpointer(database_url, redis_url=None)
    texts = await run(tool_app(checkpointer, effects, "", "charge", "slow"), face, None)
    assert texts[-3:] == ["charge", "slow", "done"]
    seen = read(effects)
    assert [attempt for name, _, attempt in seen if name == "charge"] == ["1"]
    assert [attempt for name, _, attempt in seen if name == "slow"] == ["1", "2"]
    assert len({key for _, key, _ in seen}) == 2
    await checkpointer.aclose()
