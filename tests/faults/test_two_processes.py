"""Two processes that race for the same versions of the same threads: one wins each, the other is told."""

import asyncio
import json
import sys
from pathlib import Path

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import Thread, contents, new_scope

ROOT = Path(__file__).parents[2]
THREADS = 10
ROUNDS = 100


class Racer:
    """One of the processes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self.stdout = process.stdout

    def go(self, head: int) -> None:
        self.stdin.write(f"{head}\n".encode())

    async def written(self) -> list[int | None]:
        line = await self.stdout.readline()
        assert line, "the process ended"
        written: list[int | None] = json.loads(line)
        return written

    async def end(self) -> None:
        # Waiting alone would leave our end of its pipe open: it is closed when all was read.
        await self.process.communicate()
        assert self.process.returncode == 0


async def start(database_url: str, tenant: str, name: str) -> Racer:
    command = ["-m", "tests.support.racing_program", database_url, tenant, name, str(THREADS)]
    pipe = asyncio.subprocess.PIPE
    return Racer(
        await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stdin=pipe, stdout=pipe)
    )


async def test_a_thousand_races(migrated_database_url: str) -> None:
    """Both write in groups to the same threads: no version is lost or doubled, no group blocks another."""
    checkpointer = PgCheckpointer(migrated_database_url, redis_url=None)
    scope = new_scope()
    threads = [Thread(checkpointer, scope, f"t{i}") for i in range(THREADS)]
    for thread in threads:
        await thread.write({"by": "nobody"})
    names = ("one", "other")
    racers = [await start(migrated_database_url, str(scope.tenant_id), name) for name in names]
    winners: list[list[str]] = [[] for _ in threads]
    for head in range(1, ROUNDS + 1):
        for racer in racers if head % 2 else reversed(racers):
            racer.go(head)
        written = await asyncio.gather(*(racer.written() for racer in racers))
        for won, claims in zip(winners, zip(*written, strict=True), strict=True):
            assert sorted(claims, key=str) == [head + 1, None]
            won.append(names[claims.index(head + 1)])
    for racer in racers:
        await racer.end()
    assert {name for won in winners for name in won} == set(names)
    for thread, won in zip(threads, winners, strict=True):
        snapshot = await thread.load()
        assert (snapshot.head, contents(snapshot)) == (ROUNDS + 1, won)
        entries = await checkpointer.history(scope, thread.id, limit=ROUNDS + 2)
        assert [entry.seq for entry in entries] == list(range(ROUNDS + 1, 0, -1))
        assert [entry.run_id for entry in reversed(entries)][1:] == won
    await checkpointer.aclose()
