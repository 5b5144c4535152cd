"""The references on Postgres: one prepared INSERT a checkpoint, one prepared SELECT a read.

No pool, no reset, no checks: what the driver and the server can do at most with one statement a checkpoint.
A payload is encoded between two writes, as every writer must do with its own: within the elapsed time, not
within a write's latency.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Self

import asyncpg
import orjson

from tests.benchmarks.systems.system import System, Writer
from tests.benchmarks.workload import Chat

TABLE = """
CREATE TABLE IF NOT EXISTS reference_rows (
    tenant_id int NOT NULL, thread_id text NOT NULL, seq int NOT NULL, payload bytea NOT NULL,
    PRIMARY KEY (tenant_id, thread_id, seq)
)
"""
INSERT = "INSERT INTO reference_rows VALUES ($1, $2, $3, $4)"
NEWEST = """
SELECT payload FROM reference_rows WHERE tenant_id = $1 AND thread_id = $2 ORDER BY seq DESC LIMIT 1
"""

Row = tuple[int, str, int, bytes]
Statements = tuple[Any, Any]  # prepared INSERT and SELECT of one connection


class RowWriter(Writer):
    """A thread whose steps are rows."""

    def __init__(
        self, system: Rows, thread_id: str, chat: Chat, encode: Callable[[Chat, int], bytes]
    ) -> None:
        """Use `Rows.writer`."""
        super().__init__(chat)
        self._system = system
        self._thread_id = thread_id
        self._chat = chat
        self._encode = encode

    def prepare(self, step: int) -> Row:
        """See `Writer`."""
        return (1, self._thread_id, step, self._encode(self._chat, step))

    async def write(self, item: Row) -> None:
        """See `Writer`."""
        await self._system.insert(item)


class Rows(System):
    """`raw_delta` (what a step changed) or, with `whole`, `raw_full` (the whole state in each row)."""

    def __init__(self, dsn: str, *, connections: int = 16, whole: bool = False) -> None:
        """Nothing is opened yet."""
        self._dsn = dsn
        self._count = connections
        self._encode = whole_state if whole else _delta
        self._connections: list[asyncpg.Connection[Any]] = []
        self._idle: list[Statements] = []
        self._queue: deque[asyncio.Future[Statements]] = deque()

    async def __aenter__(self) -> Self:
        """See `System`."""
        for _ in range(self._count):
            connection = await asyncpg.connect(self._dsn)
            self._connections.append(connection)
            await connection.execute(TABLE)
            self._idle.append((await connection.prepare(INSERT), await connection.prepare(NEWEST)))
            await settled(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `System`."""
        for connection in self._connections:
            await connection.close()

    async def reset(self) -> None:
        """See `System`."""
        await self._connections[0].execute("TRUNCATE reference_rows")

    async def writer(self, thread_id: str, chat: Chat) -> RowWriter:
        """See `System`."""
        return RowWriter(self, thread_id, chat, self._encode)

    async def insert(self, row: Row) -> None:
        """One row, durable."""
        statements = await self._take()
        try:
            await statements[0].fetch(*row)
        finally:
            self._give(statements)

    async def read(self, thread_id: str) -> bytes:
        """The newest row."""
        statements = await self._take()
        try:
            payload: bytes = await statements[1].fetchval(1, thread_id)
        finally:
            self._give(statements)
        return payload

    async def _take(self) -> Statements:
        if self._idle:
            return self._idle.pop()
        turn: asyncio.Future[Statements] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        return await turn

    def _give(self, statements: Statements) -> None:
        """Hand over to whoever waits longest, so that nobody overtakes."""
        if self._queue:
            self._queue.popleft().set_result(statements)
        else:
            self._idle.append(statements)


async def settled(connection: asyncpg.Connection[Any]) -> None:
    """End what `prepare` began: it leaves an implicit transaction open, and its table locks with it."""
    await connection.execute("SELECT 1")


def _delta(chat: Chat, step: int) -> bytes:
    of = chat.steps[step]
    return _json([of.message] if of.message else [], of.extra)


def whole_state(chat: Chat, step: int) -> bytes:
    steps = chat.steps[: step + 1]
    return _json([each.message for each in steps if each.message], steps[-1].extra)


def _json(messages: list[dict[str, Any]], extra: dict[str, Any]) -> bytes:
    return orjson.dumps({"messages": messages, "extra": extra})
