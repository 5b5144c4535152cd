"""This project as one more system of the peers' harness; runs in the peers' environment.

    python -m tests.benchmarks.peer_adapter PATH/peer_bench.py write --systems agentflow,lg_pg,raw_delta

The first argument is the harness, which is no part of this repository; the rest is its own.
"""

import importlib.util
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg

from agentflow.storage.checkpointer import BaseCheckpointer, CheckpointWrite, InMemoryCheckpointer
from tests.benchmarks.graph_turns import three_nodes, turn_of
from tests.benchmarks.systems.changes import Change, checkpoint, next_change
from tests.benchmarks.systems.leaves import LEAVES
from tests.benchmarks.systems.ours import SCOPE, Ours


def harness_at(path: Path) -> ModuleType:
    """The harness as a module."""
    spec = importlib.util.spec_from_file_location("peer_bench", path)
    if spec is None or spec.loader is None or not path.exists():
        raise SystemExit(f"There is no harness at {path}: say where it is with PEER_BENCH=path/peer_bench.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["peer_bench"] = module
    spec.loader.exec_module(module)
    return module


class Thread:
    """A thread of the harness: its session begins with its first write."""

    def __init__(self, ours: Ours, thread_id: str) -> None:
        self.thread_id = thread_id
        self._session = ours.checkpointer.session(SCOPE, thread_id)
        self._run_id = str(uuid.uuid4())
        self._change: Change | None = None
        self._thread_no: int | None = None

    def prepare(self, message: dict[str, Any] | None, extra: dict[str, Any]) -> CheckpointWrite:
        self._change = next_change(self._change, extra["node"], message, extra)
        return checkpoint(self._change, self._thread_no, self._run_id)

    async def write(self, item: CheckpointWrite) -> None:
        if self._thread_no is None:
            await self._session.__aenter__()
        self._thread_no = (await self._session.append(item)).thread_no


def add_system(harness: Any) -> None:
    """The checkpointer on Postgres alone; warm reads come from one with caches on the same tables."""

    @harness.system("agentflow")
    class _Agentflow(harness.Adapter):  # type: ignore[misc]
        """AgentFlow: a session a thread, an append a step."""

        has_warm = True

        async def open(self) -> None:
            url = sqlalchemy_url(self.pg)
            self.ours = await Ours(url, pool_size=self.pool_n, cache_bytes=0).__aenter__()
            self.cached = await Ours(url, self.rd, pool_size=self.pool_n).__aenter__()
            self.pg_tables = await leaves(self.pg)

        async def close(self) -> None:
            await self.ours.__aexit__()
            await self.cached.__aexit__()

        async def reset(self) -> None:
            await self.ours.reset()

        def thread(self, tid: str) -> Thread:
            # The harness uses its ids again, on tables that it emptied.
            return Thread(self.ours, f"{tid}-{uuid.uuid4().hex[:8]}")

        def prepare(self, s: Thread, msg: dict[str, Any] | None, extra: dict[str, Any]) -> CheckpointWrite:
            return s.prepare(msg, extra)

        async def write(self, s: Thread, item: CheckpointWrite) -> None:
            await s.write(item)

        async def read_cold(self, s: Thread) -> object:
            return await self.ours.read(s.thread_id)

        async def read_warm(self, s: Thread) -> object:
            return await self.cached.read(s.thread_id)


def add_runners(harness: Any) -> None:
    """The three-node graph, durable and in memory."""

    @harness.runner("agentflow")
    class Durable(harness.Runner):  # type: ignore[misc]
        def checkpointer(self) -> BaseCheckpointer:
            self.ours = Ours(sqlalchemy_url(self.a.pg), self.a.redis, pool_size=self.a.pool)
            return self.ours.checkpointer

        async def open(self) -> None:
            self.app = three_nodes(self.checkpointer())

        async def turn(self, tid: str, user: str, reply: str) -> None:
            await turn_of(self.app, tid, user)

        async def reset(self) -> None:
            await self.ours.checkpointer.asetup()
            await self.ours.reset()

        async def close(self) -> None:
            await self.ours.__aexit__()

    @harness.runner("agentflow_mem")
    class _InMemory(Durable):
        def checkpointer(self) -> BaseCheckpointer:
            return InMemoryCheckpointer()

        async def reset(self) -> None: ...

        async def close(self) -> None: ...


def sqlalchemy_url(dsn: str) -> str:
    """The harness's address as our library takes it."""
    return dsn.replace("postgresql://", "postgresql+asyncpg://", 1)


async def leaves(dsn: str) -> tuple[str, ...]:
    """The tables that hold rows."""
    connection = await asyncpg.connect(dsn)
    try:
        return tuple(leaf for leaf, _ in await connection.fetch(LEAVES))
    finally:
        await connection.close()


def main() -> None:
    """Add ours and let the harness do the rest."""
    harness = harness_at(Path(sys.argv.pop(1)))
    add_system(harness)
    add_runners(harness)
    harness.main()


if __name__ == "__main__":
    main()
