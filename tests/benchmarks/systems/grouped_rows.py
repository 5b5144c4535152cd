"""The reference `raw_group`: the same rows, and writers that wait at the same moment share one INSERT."""

import asyncio
from typing import Any, Self

from tests.benchmarks.systems.rows import Row, Rows, settled

INSERT_MANY = """
INSERT INTO reference_rows SELECT * FROM unnest($1::int[], $2::text[], $3::int[], $4::bytea[])
"""
LARGEST_GROUP = 256


class GroupedRows(Rows):
    """Acknowledges a row after the commit of its group. While one lane commits, the next builds its group."""

    def __init__(self, dsn: str, *, lanes: int = 2) -> None:
        """Nothing is opened yet."""
        super().__init__(dsn, connections=lanes)
        self._idle_lanes: list[Any] = []
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """See `System`."""
        await super().__aenter__()
        for connection in self._connections:
            self._idle_lanes.append(await connection.prepare(INSERT_MANY))
            await settled(connection)
        return self

    async def insert(self, row: Row) -> None:
        """One row, durable with its group."""
        durable = asyncio.get_running_loop().create_future()
        self._waiting.append((row, durable))
        if self._idle_lanes:
            task = asyncio.create_task(self._run_lane(self._idle_lanes.pop()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await durable

    async def _run_lane(self, statement: Any) -> None:
        """Commit groups until nobody waits."""
        while self._waiting:
            group, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
            await statement.fetch(*zip(*(row for row, _ in group), strict=True))
            for _, durable in group:
                durable.set_result(None)
            # Those who were just acknowledged come back with their next row before the next group closes.
            await asyncio.sleep(0)
        self._idle_lanes.append(statement)
