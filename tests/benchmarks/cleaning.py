"""Sweeps, or carries out offboardings, each time it is told to: `python -m tests.benchmarks.cleaning DB`.

A process of its own, as the worker is: in that of the writers each would hold up the other's event loop.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import uvloop

from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_worker.retention_sweep import RetentionSweep
from tests.support.leaving import runner_of, work_all
from tests.support.run import ROOT

type Work = Literal["sweep", "offboard", "nothing"]


class Cleaner:
    """The process, as the one that measures sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Use one that runs."""
        self._process = process

    async def work(self, what: Work) -> float:
        """Have it done once; how many seconds that took there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n".encode())
        said = await self._process.stdout.readline()
        took_s: float = json.loads(said)
        return took_s


@asynccontextmanager
async def cleaner(url: str) -> AsyncGenerator[Cleaner]:
    """A process that has its connections."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "tests.benchmarks.cleaning", url]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
    try:
        made = Cleaner(process)
        await made.work("nothing")
        yield made
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def main(arguments: Sequence[str]) -> None:
    """Work until there are no more words."""
    engine = engine_from_url(arguments[0], pool_size=4, max_overflow=0, timeout_s=60)
    runner, sweep = runner_of(engine), RetentionSweep(RetentionRepository(engine))
    await runner.work_once()
    while what := (await asyncio.to_thread(sys.stdin.readline)).strip():
        began = time.perf_counter()
        if what == "sweep":
            await sweep.delete()
        elif what == "offboard":
            await work_all(runner)
        print(json.dumps(time.perf_counter() - began), flush=True)
    await engine.dispose()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
