"""Movers killed within their steps, and movers that wake up when somebody else has done their work."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.moves import Mover, Operation, OperationRepository
from agentflow_worker.operation_runner import OperationRunner
from tests.support import databases
from tests.support.dying_mover import LEASE_S
from tests.support.moving import Writers, check

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.leaves_connections  # those of killed processes


class Moving:
    """A tenant with writers, and what moves it."""

    def __init__(self, url: str, redis_url: str, engine: AsyncEngine) -> None:
        self.url = url
        self.engine = engine
        self.tenants = TenantRepository(engine)
        self.operations = OperationRepository(engine)
        self.checkpointer = PgCheckpointer(databases.app_url(url), redis_url)

    async def asked(self, target: int | None) -> Operation:
        """A move that is asked for."""
        return await self.operations.request(await self.tenant(), target, actor=SYSTEM)

    async def tenant(self) -> Tenant:
        found = await self.tenants.find_tenant("acme")
        assert found is not None
        return found

    def start(self, statement: str, number: int, what: signal.Signals) -> "subprocess.Popen[bytes]":
        """A mover that meets its fate."""
        command = ["-m", "tests.support.dying_mover", self.url, statement, str(number), what.name]
        return subprocess.Popen([sys.executable, *command], cwd=ROOT)

    async def finish(self, operation: Operation) -> Operation:
        """Have somebody else carry it out to its end."""
        runner = OperationRunner(self.operations, Mover(self.engine, settle_s=0), lease_s=5, poll_s=0.02)
        async with asyncio.timeout(30):
            while True:
                await runner.work_once()
                now = await self.operations.get(operation.operation_id)
                assert now is not None
                if now.state not in ("queued", "running"):
                    return now
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def writers(self) -> AsyncIterator[Writers]:
        """Two writers for the length of the block; each has written something before it begins."""
        tenant = await self.tenant()
        writers = Writers(self.checkpointer, Scope(tenant.tenant_id, tenant.placement))
        stop = asyncio.Event()
        tasks = [asyncio.create_task(writers.run(stop, number, 4)) for number in range(2)]
        await asyncio.wait(tasks, timeout=0.3)
        try:
            yield writers
        finally:
            stop.set()
            await asyncio.gather(*tasks)


@pytest.fixture
async def moving(migrated_database_url: str, redis_url: str) -> AsyncIterator[Moving]:
    engine = create_async_engine(migrated_database_url)
    moving = Moving(migrated_database_url, redis_url, engine)
    await moving.tenants.create_tenant("acme")
    yield moving
    await moving.checkpointer.aclose()
    await engine.dispose()


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


# Statement, which time: within the leaves' transaction, the announcement, the closed fence (twice), a batch
# that has moved children but no threads, the second batch, the third, in the settlement.
POINTS = [
    ("short_locks", 1), ("announce", 1), ("writers", 1), ("open", 1), ("move_tool_calls", 1),
    ("move_threads", 2), ("next_threads", 3), ("settle_tenant", 1),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "number"), POINTS)
async def test_killed(moving: Moving, owner: "asyncpg.Connection[Any]", statement: str, number: int) -> None:
    """Another one takes over and ends it; writers go on all the time, nothing is lost or there twice."""
    async with moving.writers() as writers:
        operation = await moving.asked(None)
        process = moving.start(statement, number, signal.SIGKILL)
        assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
        written = len(writers.heads)
        done = await moving.finish(operation)
    assert (done.state, done.attempts) == ("done", 2)
    assert done.target is not None
    assert len(writers.heads) >= written
    await check(writers, owner, done.target)


@pytest.mark.parametrize(
    ("statement", "number"), [("is_free", 1), ("attached_leaves", 1), ("drop_leaves", 1)]
)
async def test_killed_while_it_cleans_up(
    moving: Moving, owner: "asyncpg.Connection[Any]", statement: str, number: int
) -> None:
    """The partition that was left is gone all the same, and the parents are whole."""
    async with moving.writers() as writers:
        there = await moving.finish(await moving.asked(None))
        operation = await moving.asked(2)
        process = moving.start(statement, number, signal.SIGKILL)
        assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
        done = await moving.finish(operation)
    assert (done.state, done.error) == ("done", None)
    await check(writers, owner, 2)
    left = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ $1"
    assert await owner.fetchval(left, f"_p{there.target}$") == 0
    assert await owner.fetchval("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 0


# The claims that a mover makes: for the leaves, the announcement, both ends of the fence, batches.
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("end", ["done", "cancelled"])
async def test_a_mover_that_slept_changes_nothing(
    moving: Moving, owner: "asyncpg.Connection[Any]", number: int, end: str
) -> None:
    """Stopped for longer than its claim, it wakes up when the move has ended, one way or the other."""
    async with moving.writers() as writers:
        tenant = await moving.tenant()
        operation = await moving.asked(5)
        process = moving.start("claim", number, signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
        if end == "cancelled":
            await moving.operations.cancel(operation, actor=SYSTEM)
        await asyncio.sleep(LEASE_S)  # the claim ends by the database's clock
        done = await moving.finish(operation)
        assert done.state == end
        places = "SELECT placement, moving_to, creates_in FROM agentflow_placements"
        before = await owner.fetch(places)
        process.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(process.wait, 60) == 0
        assert await owner.fetch(places) == before
        now = await moving.tenant()
        assert now.moving_to is None
    await check(writers, owner, 5 if end == "done" else tenant.placement)
