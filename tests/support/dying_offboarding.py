"""A worker that dies: `python -m tests.support.dying_offboarding DB REDIS STATEMENT NUMBER`.

It offboards until there is nothing to do. Before it sends the statement of that name for the NUMBERth time,
or writes that step, it kills itself as a machine that fails would.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_tenancy.control_plane import Transaction
from agentflow_tenancy.moves import statements as of_moves
from agentflow_tenancy.offboarding import purger, statements, verifier
from tests.support.leaving import runner_of, work_all

LEASE_S = 1.0


class Doom:
    """Counts down to the end."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.left = number

    def of(self, name: str) -> None:
        """A statement is about to be sent."""
        if name == self.name:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(doom: Doom) -> None:
    """Have each statement of a purge, of its records and of the detachment looked at."""

    def watched(function: Any) -> Any:
        def of(name: str, *arguments: Any, **more: Any) -> Any:
            doom.of(name)
            return function(name, *arguments, **more)

        return of

    purger.statement = watched(statements.statement)  # type: ignore[attr-defined]
    verifier.statement = watched(statements.statement)  # type: ignore[attr-defined]
    purger.at_placement = watched(statements.at_placement)  # type: ignore[attr-defined]
    purger.of_table = watched(statements.of_table)  # type: ignore[attr-defined]
    purger.between = watched(of_moves.between)  # type: ignore[attr-defined]
    detachment = of_moves.detachment

    def watched_detachment(parent: str, placement: int, *, finalize: bool) -> str:
        doom.of("detach")
        return detachment(parent, placement, finalize=finalize)

    purger.detachment = watched_detachment  # type: ignore[attr-defined]
    one = Transaction.one

    async def watched_one(self: Transaction, name: str, /, **values: Any) -> Any:
        doom.of(f"{name} {values.get('state', '')} {values.get('step', '')}".strip())
        return await one(self, name, **values)

    Transaction.one = watched_one  # type: ignore[method-assign]
    execute = Transaction.execute

    async def watched_execute(self: Transaction, name: str, /, **values: Any) -> None:
        doom.of(name)
        await execute(self, name, **values)

    Transaction.execute = watched_execute  # type: ignore[method-assign]


async def main(arguments: Sequence[str]) -> None:
    """Work until there is nothing to do."""
    url, redis_url, name, number = arguments
    arm(Doom(name, int(number)))
    engine = create_async_engine(url)
    redis = Redis.from_url(redis_url)
    await work_all(runner_of(engine, redis=redis, lease_s=LEASE_S))
    await redis.aclose()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
