"""A mover that dies or sleeps: `python -m tests.support.dying_mover DB STATEMENT NUMBER SIGNAL`.

It carries out one operation. Before it sends the statement of that name for the NUMBERth time it sends itself
the signal: SIGKILL as a machine that fails would, SIGSTOP as one that stands still for longer than its claim.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_tenancy.moves.mover import Way
from agentflow_worker.operation_runner import OperationRunner

LEASE_S = 1.0


class DyingMover(Mover):
    """Of one process."""

    doom = ("", 0, 0)

    @classmethod
    def _text(cls, name: str, way: Way) -> str:
        doomed, left, number = cls.doom
        if name == doomed:
            cls.doom = (doomed, left - 1, number)
            if left == 1:
                os.kill(os.getpid(), number)
        return Mover._text(name, way)


async def main(arguments: Sequence[str]) -> None:
    """Carry out one operation."""
    url, name, number, what = arguments
    DyingMover.doom = (name, int(number), signal.Signals[what])
    engine = create_async_engine(url)
    runner = OperationRunner(OperationRepository(engine), DyingMover(engine, settle_s=0), lease_s=LEASE_S)
    await runner.work_once()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
