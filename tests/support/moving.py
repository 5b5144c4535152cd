"""Writers that never stop while their tenant moves, and what must be true of them afterwards."""

import asyncio
import itertools
import random
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from agentflow.errors import StaleCheckpointError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after

TABLES = ("threads", "checkpoints", "messages", "tool_calls", "writes")


@dataclass
class Writers:
    """Tasks that make threads and extend them; each acknowledged version is remembered."""

    checkpointer: PgCheckpointer
    scope: Scope
    seed: int = 0
    heads: dict[str, int] = field(default_factory=dict)
    contents: dict[str, list[str]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    wrote: asyncio.Event = field(default_factory=asyncio.Event)

    async def write_one(self, name: str, rng: random.Random) -> None:
        """A new thread, or one more version of an old one; through a session, as a run does."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self.checkpointer.session(self.scope, name) as session:
            snapshot = session.snapshot
            for _ in range(rng.randint(1, 3)):
                text = f"{name} {rng.random()}"
                known = self.contents.get(name, [])
                committed = None
                while committed is None:
                    pos = 0 if snapshot is None else snapshot.next_pos
                    is_full = len(known) == 3 and snapshot is not None
                    gone = [snapshot.messages[0].pos] if is_full and snapshot is not None else []
                    write = write_after(snapshot, {"t": text}, added=[message(pos, text)], removed=gone)
                    try:
                        committed = await session.append(write)
                    except StaleCheckpointError:
                        if not session.from_cache:
                            raise
                        snapshot = await session.reload()
                self.heads[name] = committed.head
                self.wrote.set()
                self.contents[name] = [*known, text][-3:]
                snapshot = session.snapshot
        self.slowest_s = max(self.slowest_s, loop.time() - began)

    async def look(self, name: str) -> None:
        """Read a thread that is known to exist, and the list of all."""
        head = self.heads[name]
        snapshot = await self.checkpointer.load(self.scope, name)
        if snapshot is None or snapshot.head < head:
            self.missed.append(f"{name}: {snapshot and snapshot.head} instead of {head}")
        known = set(self.heads)
        listed = {info.thread_id for info in await self.checkpointer.list_threads(self.scope, limit=100_000)}
        if not known <= listed:
            self.missed.append(f"not listed: {sorted(known - listed)[:3]}")

    async def until_threads(self, count: int) -> None:
        """Wait until so many threads were written to."""
        while len(self.heads) < count:
            self.wrote.clear()
            await self.wrote.wait()

    async def run(self, stop: asyncio.Event, number: int, names: int) -> None:
        """Write and read until stopped."""
        await self._run(stop, number, names, turns=None)

    async def run_turns(self, turns: int, names: int) -> None:
        """Write and read so many times."""
        await self._run(asyncio.Event(), 0, names, turns)

    async def _run(self, stop: asyncio.Event, number: int, names: int, turns: int | None) -> None:
        rng = random.Random(f"{self.seed} {number}")
        own = [f"w{number}-{i}" for i in range(names)]
        for turn in itertools.count():
            if stop.is_set() or turn == turns:
                return
            await self.write_one(rng.choice(own), rng)
            if self.heads and rng.random() < 0.3:
                await self.look(rng.choice([name for name in own if name in self.heads]))
            if rng.random() < 0.2:
                own.append(f"w{number}-{len(own)}")


async def rows_of(connection: "asyncpg.Connection[Any]", tenant_id: uuid.UUID) -> dict[str, list[Any]]:
    """Every row of a tenant but for where it is, in an order of its own."""
    found: dict[str, list[Any]] = {}
    for table in TABLES:
        rows = await connection.fetch(
            f"SELECT (to_jsonb(t) - 'placement')::text AS row FROM agentflow_{table} t WHERE tenant_id = $1",
            tenant_id,
        )
        found[table] = sorted(row["row"] for row in rows)
    return found


async def places_of(connection: "asyncpg.Connection[Any]", tenant_id: uuid.UUID) -> set[int]:
    """Where a tenant has rows."""
    places: set[int] = set()
    for table in TABLES:
        rows = await connection.fetch(
            f"SELECT DISTINCT placement FROM agentflow_{table} WHERE tenant_id = $1", tenant_id
        )
        places |= {row["placement"] for row in rows}
    return places


async def check(writers: Writers, connection: "asyncpg.Connection[Any]", at: int) -> None:
    """Nothing acknowledged is lost, nothing is there twice, everything is in one place."""
    scope = writers.scope
    assert writers.missed == []
    assert await places_of(connection, scope.tenant_id) == {at}
    twice = await connection.fetchval(
        "SELECT count(*) FROM (SELECT FROM agentflow_threads WHERE tenant_id = $1"
        " GROUP BY thread_id HAVING count(*) > 1) x",
        scope.tenant_id,
    )
    assert twice == 0
    gaps = await connection.fetchval(
        "SELECT count(*) FROM agentflow_threads t WHERE tenant_id = $1 AND head <> (SELECT count(*)"
        " FROM agentflow_checkpoints c WHERE c.tenant_id = $1 AND c.thread_no = t.thread_no)",
        scope.tenant_id,
    )
    assert gaps == 0
    orphans = await connection.fetchval(
        "SELECT count(*) FROM agentflow_messages m WHERE tenant_id = $1 AND NOT EXISTS"
        " (SELECT FROM agentflow_threads t WHERE t.tenant_id = $1 AND t.thread_no = m.thread_no)",
        scope.tenant_id,
    )
    assert orphans == 0
    for name, head in writers.heads.items():
        snapshot = await writers.checkpointer.load(replace(scope, placement=at), name)
        assert snapshot is not None, name
        assert snapshot.head == head, name
        assert [stored.content for stored in snapshot.messages] == writers.contents[name]
