"""A sweeper that dies: `python -m tests.support.dying_sweeper DB STATEMENT NUMBER`.

It deletes what is due, two threads a batch. Before it sends the statement of that name for the NUMBERth time,
or with NUMBER and a half behind it, it kills itself as a machine that fails would.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_hosting import retention_repository
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_worker import retention_sweep
from agentflow_worker.retention_sweep import RetentionSweep


def doomed(name: str, number: float) -> None:
    """Have the statement of that name be the last one."""
    rows, left = retention_repository._rows, number

    async def watched(connection: Any, asked: str, values: Any) -> Any:
        nonlocal left
        if asked != name:
            return await rows(connection, asked, values)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        found = await rows(connection, asked, values)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    retention_repository._rows = watched  # type: ignore[assignment]


async def main(arguments: Sequence[str]) -> None:
    """Sweep once."""
    url, name, number = arguments
    doomed(name, float(number))
    for size in ("_FIRST_BATCH", "_SMALLEST_BATCH", "_LARGEST_BATCH"):
        setattr(retention_sweep, size, 2)
    engine = create_async_engine(url)
    await RetentionSweep(RetentionRepository(engine)).delete()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
