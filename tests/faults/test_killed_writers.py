"""Writers killed with SIGKILL: the acknowledged is there, a write in doubt whole or not, others go on."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from agentflow.errors import StaleCheckpointError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.testing.case import contents, message, new_scope, write_after
from tests.support.dying_writers import POINTS, SURVIVED, WRITERS

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.leaves_connections  # those of killed processes


async def acknowledged(database_url: str, redis_url: str, scope: Scope, point: str) -> dict[str, int]:
    """What the process was told before it was killed at the point: the head of each thread."""
    command = ["-m", "tests.support.dying_writers", database_url, redis_url, str(scope.tenant_id), point]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL
    heads = {f"t{i}": 0 for i in range(WRITERS)}
    for name, head in map(str.split, said.decode().splitlines()):
        assert int(head) == heads[name] + 1
        heads[name] += 1
    return heads


@pytest.mark.parametrize("point", POINTS)
async def test_killed(point: str, migrated_database_url: str, redis_url: str) -> None:
    """Another process reads exactly what was acknowledged, at most one more of each thread, and goes on."""
    scope = new_scope()
    heads = await acknowledged(migrated_database_url, redis_url, scope, point)
    assert sum(heads.values()) > SURVIVED // 2
    checkpointer = PgCheckpointer(migrated_database_url, redis_url)
    for name, head in heads.items():
        async with checkpointer.session(scope, name) as session:
            assert await goes_on(session) in (head + 1, head + 2)
        snapshot = await checkpointer.load(scope, name)
        assert snapshot is not None
        assert contents(snapshot) == [str(i) for i in range(snapshot.head)]
        entries = await checkpointer.history(scope, name, limit=snapshot.head + 1)
        assert [entry.seq for entry in entries] == list(range(snapshot.head, 0, -1))
    await checkpointer.aclose()


async def goes_on(session: ThreadSession) -> int:
    """Append from what the session found; from what is stored, where the cache was behind."""
    for _ in range(3):
        head = 0 if session.snapshot is None else session.snapshot.head
        write = write_after(session.snapshot, {"i": head}, added=[message(head, str(head))])
        try:
            return (await session.append(write)).head
        except StaleCheckpointError:
            await session.reload()
    raise AssertionError("stale for ever")
