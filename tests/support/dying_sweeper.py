"""A sweeper that dies: `python -m tests.support.dying_sweeper DB STATEMENT NUMBER`.

It deletes what is due, two threads a batch, and forgets the versions that tenants do not keep. Before it
sends the statement of that name for the NUMBERth time, or right behind that when NUMBER has a half, it kills
itself as a machine that fails would.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, postgres_upkeep
from agentflow_hosting import retention_repository
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_worker import retention_sweep
from agentflow_worker.retention_sweep import RetentionSweep

# What sends statements by their names, to a connection: a sweep's own, and those of pruning.
_SENDERS = ((retention_repository, "_rows"), (postgres_upkeep, "_row"), (postgres_upkeep, "_execute"))


def doomed(name: str, number: float) -> None:
    """Have the statement of that name be the last one."""
    left = number

    def watched(send: Any) -> Any:
        async def sent(connection: Any, asked: str, *values: Any) -> Any:
            nonlocal left
            if asked != name:
                return await send(connection, asked, *values)
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            found = await send(connection, asked, *values)
            if 0 < left < 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return sent

    for module, sender in _SENDERS:
        setattr(module, sender, watched(getattr(module, sender)))


async def main(arguments: Sequence[str]) -> None:
    """Sweep once."""
    url, name, number = arguments
    doomed(name, float(number))
    for size in ("_FIRST_BATCH", "_SMALLEST_BATCH", "_LARGEST_BATCH"):
        setattr(retention_sweep, size, 2)
    engine = create_async_engine(url)
    sweep = RetentionSweep(RetentionRepository(engine))
    await sweep.delete()
    await sweep.forget(PgCheckpointer.from_engine(engine, None), timedelta(0))
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
