"""Writers that die: `python -m tests.support.dying_writers DB REDIS TENANT POINT`.

Each of them says `NAME HEAD` for every checkpoint it was told is durable. At POINT the process kills itself,
as a machine that fails would.
"""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from typing import Any, Never

import asyncpg

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.cache import ThreadCache
from agentflow.storage.checkpointer.cache_types import CachedBase, Keys, News
from agentflow.storage.checkpointer.driver_statements import Statements
from agentflow.storage.checkpointer.testing.case import message, write_after

POINTS = ("before its commit", "while it commits", "after its commit", "before the cache", "after the cache")
WRITERS = 8
# How many calls reach a point before the one that dies there.
SURVIVED = 40


class Fate:
    """Counts what passes the point."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.left = SURVIVED

    def passes(self, point: str) -> bool:
        """Whether the process is to die here, now."""
        if point == self.point:
            self.left -= 1
        return self.left < 0


def die() -> Never:
    """End as a killed process does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def doom(fate: Fate) -> None:
    """Let the process meet its fate in the library's own calls."""
    fetch, publish = Statements.fetch_once, ThreadCache.publish

    async def fetch_once(
        self: Statements, statement: str, *arguments: Any, shown: str | None = None, batch: int = 1
    ) -> list[asyncpg.Record]:
        if "INSERT INTO agentflow_checkpoints" not in statement:
            return await fetch(self, statement, *arguments, shown=shown, batch=batch)
        if fate.passes("before its commit"):
            die()
        sending = asyncio.ensure_future(fetch(self, statement, *arguments, shown=shown, batch=batch))
        if fate.passes("while it commits"):
            # Sent, and not waited for.
            for _ in range(3):
                await asyncio.sleep(0)
            die()
        found = await sending
        if fate.passes("after its commit"):
            die()
        return found

    async def published(self: ThreadCache, keys: Keys, token: str, news: News) -> CachedBase | None:
        if fate.passes("before the cache"):
            die()
        base = await publish(self, keys, token, news)
        if fate.passes("after the cache"):
            die()
        return base

    Statements.fetch_once = fetch_once  # type: ignore[method-assign]
    ThreadCache.publish = published  # type: ignore[method-assign]


async def writer(checkpointer: PgCheckpointer, scope: Scope, name: str) -> None:
    """Turns of two checkpoints each, without an end."""
    while True:
        async with checkpointer.session(scope, name) as session:
            for _ in range(2):
                before = session.snapshot
                head = 0 if before is None else before.head
                write = write_after(before, {"i": head}, added=[message(head, str(head))])
                said = f"{name} {(await session.append(write)).head}\n"
                os.write(sys.stdout.fileno(), said.encode())


async def main(arguments: Sequence[str]) -> None:
    """Write until the end."""
    db_url, redis_url, tenant, point = arguments
    doom(Fate(point))
    checkpointer = PgCheckpointer(db_url, redis_url, lease_s=0.5)
    scope = Scope(uuid.UUID(tenant))
    await asyncio.gather(*(writer(checkpointer, scope, f"t{i}") for i in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
