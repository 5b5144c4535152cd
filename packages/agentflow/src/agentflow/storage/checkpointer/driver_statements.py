"""Sending one named statement, again while Postgres comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.pool import Connections
from agentflow.storage.checkpointer.queries import QUERIES, SHOW_TENANTS
from agentflow.storage.checkpointer.storage_spans import statement_span

_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 0.5


class Backoff:
    """How long to wait between tries, and when to give up."""

    def __init__(self, retry_s: float, connections: Connections) -> None:
        """Of a first try that failed just now, on connections that may be closed meanwhile."""
        self._connections = connections
        self._clock = asyncio.get_running_loop().time
        self._give_up_at = self._clock() + retry_s
        self._delay_s = 0.0

    async def wait(self) -> bool:
        """Wait before the next try, at first not at all; False when there should be none."""
        if self._connections.closed or self._clock() + self._delay_s >= self._give_up_at:
            return False
        await asyncio.sleep(self._delay_s)
        self._delay_s = min(max(2 * self._delay_s, _FIRST_DELAY_S), _LONGEST_DELAY_S)
        return True


class Statements:
    """Statements on one engine of this event loop."""

    def __init__(self, engine: AsyncEngine, *, retry_s: float) -> None:
        """Nothing is sent yet.

        Args:
            engine: Where to get connections.
            retry_s: How long to go on trying while Postgres is away.
        """
        self._connections = Connections(engine)
        self._retry_s = retry_s

    async def fetch(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement that touches no tenant's rows; see `fetch_text`."""
        return await self.fetch_text(QUERIES[name], *arguments)

    async def fetch_text(
        self, statement: str, *arguments: Any, shown: str | None = None
    ) -> list[asyncpg.Record]:
        """Run a statement in a transaction of its own: one round trip, durable when it returns.

        Every statement may be repeated: a write recognises its own commit, the others say what is.
        So a lost connection or reply is met by trying again, for a bounded time.

        Args:
            statement: Of the named ones.
            arguments: Its parameters.
            shown: Tenants that row level security shall show, set before it: three round trips more.

        Raises:
            StoreUnavailableError: No answer for `retry_s`.
            ConfigurationError, InvalidInputError, StorageError: See `driver_errors`.
        """
        backoff: Backoff | None = None
        while True:
            try:
                return await self.fetch_once(statement, *arguments, shown=shown)
            except StoreUnavailableError:
                backoff = backoff or self.backoff()
                if not await backoff.wait():
                    raise

    def backoff(self) -> Backoff:
        """For a call that failed just now."""
        return Backoff(self._retry_s, self._connections)

    async def fetch_once(
        self, statement: str, *arguments: Any, shown: str | None = None, batch: int = 1
    ) -> list[asyncpg.Record]:
        """As `fetch_text`, without trying again; `batch` is how many callers share it."""
        with statement_span(statement, batch=batch):
            return await self._fetched(statement, arguments, shown)

    async def _fetched(
        self, statement: str, arguments: tuple[Any, ...], shown: str | None
    ) -> list[asyncpg.Record]:
        async with self._connections.use() as driver:
            if shown is None:
                return await driver.fetch(statement, *arguments)
            async with driver.transaction():
                await driver.fetchval(SHOW_TENANTS, shown)
                return await driver.fetch(statement, *arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[asyncpg.Connection[Any]]:
        """A connection in a transaction, for what takes several statements. Two round trips more.

        Raises:
            What `fetch` raises, without trying again.
        """
        async with self._connections.use() as driver, driver.transaction():
            yield driver

    async def close(self) -> None:
        """Wait for the statements under way, send no more, and give every connection back to the pool."""
        await self._connections.close()
