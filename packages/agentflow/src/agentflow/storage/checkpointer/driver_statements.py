"""Sending one named statement, again while Postgres comes back."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.pool import connection
from agentflow.storage.checkpointer.queries import QUERIES

_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 0.5


class Statements:
    """The statements of `queries.sql`, on one engine of this event loop."""

    def __init__(self, engine: AsyncEngine, *, retry_s: float) -> None:
        """Nothing is sent yet.

        Args:
            engine: Where to get connections.
            retry_s: How long to go on trying while Postgres is away.
        """
        self._engine = engine
        self._retry_s = retry_s

    async def fetch(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement in a transaction of its own: one round trip, durable when it returns.

        Every statement may be repeated: a write recognises its own commit, the others say what is.
        So a lost connection or reply is met by trying again, for a bounded time.

        Raises:
            StoreUnavailableError: No answer for `retry_s`.
            ConfigurationError, InvalidInputError, StorageError: See `driver_errors`.
        """
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + self._retry_s
        delay_s = 0.0
        while True:
            try:
                async with connection(self._engine) as driver:
                    return await driver.fetch(QUERIES[name], *arguments)
            except StoreUnavailableError:
                if clock() + delay_s >= give_up_at:
                    raise
            await asyncio.sleep(delay_s)
            delay_s = min(max(2 * delay_s, _FIRST_DELAY_S), _LONGEST_DELAY_S)
