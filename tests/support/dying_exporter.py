"""A worker that dies or sleeps: `python -m tests.support.dying_exporter DB FOLDER STATEMENT NUMBER SIGNAL`.

It carries out one export or import. Before it sends the statement of that name for the NUMBERth time it
sends itself the signal: SIGKILL as a machine that fails would, SIGSTOP as one that stands still for longer
than its claim.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_tenancy import TenantRepository
from agentflow_tenancy.control_plane import Transaction
from agentflow_tenancy.exports import ExportFolder, ExportQueue, ThreadExporter, ThreadImporter, layout
from agentflow_tenancy.exports import statements as texts
from agentflow_worker.export_runner import ExportRunner

LEASE_S: Final = 1.0
PART_THREADS: Final = 2


def doomed(name: str, number: int, what: signal.Signals) -> None:
    """Have the statement of that name, an archive's or its record's, be the last one, or for a while."""
    left = number

    def about_to_send(asked: str) -> None:
        nonlocal left
        if asked == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), what)

    original, one = texts._text, Transaction.one

    def text(asked: str, places: str) -> str:
        about_to_send(asked)
        return original(asked, places)

    async def watched_one(self: Transaction, asked: str, /, **values: Any) -> Any:
        about_to_send(asked)
        return await one(self, asked, **values)

    texts._text = text  # type: ignore[assignment]
    Transaction.one = watched_one  # type: ignore[method-assign]


async def main(arguments: Sequence[str]) -> None:
    """Carry out one export or import."""
    url, path, name, number, what = arguments
    layout.PART_THREADS = PART_THREADS  # type: ignore[misc]
    doomed(name, int(number), signal.Signals[what])
    engine = create_async_engine(url)
    folder = ExportFolder(Path(path))
    runner = ExportRunner(
        ExportQueue(engine),
        TenantRepository(engine),
        ThreadExporter(engine, folder),
        ThreadImporter(engine),
        folder,
        lease_s=LEASE_S,
    )
    await runner.work_once()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
