"""Sweepers killed while they forget the versions that a tenant does not keep, at every statement of it."""

import asyncio
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import Thread, message
from agentflow.storage.checkpointer.types import ToolIntent, ToolResult, ToolStarts
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.tenants import NewTenant
from agentflow_worker.retention_sweep import RetentionSweep
from tests.support.leaving import rows_of
from tests.support.run import ROOT

pytestmark = pytest.mark.leaves_connections  # those of killed processes

THREADS = 3
VERSIONS = 7
KEPT = 2

type Versions = dict[int, str]


@pytest.fixture
async def checkpointer(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(migrated_database_url, None)
    yield checkpointer
    await checkpointer.aclose()


async def _written(checkpointer: PgCheckpointer, tenant: Tenant) -> list[Thread]:
    """Threads whose old versions have a tool that is done, and messages that left the context since."""
    threads = []
    for number in range(THREADS):
        thread = Thread(checkpointer, Scope(tenant.tenant_id, tenant.placement), f"t-{number}")
        await thread.write({"at": 0}, added=[message(0, "hello 0")])
        at, intent = await thread.load(), ToolIntent(uuid.uuid4(), "call", "tool", "TOOL")
        async with checkpointer.session(thread.scope, thread.id) as session:
            await session.start_tools(ToolStarts(at.head, at.thread_no, "run", [intent]))
            await session.finish_tools(at.thread_no, [ToolResult(intent.key, "done")])
        for pos in range(1, VERSIONS):
            await thread.write({"at": pos}, added=[message(pos, f"hello {pos}")], removed=[pos - 1])
        threads.append(thread)
    return threads


async def _read(thread: Thread) -> tuple[Versions, int]:
    """All that is there of a thread: each version by its number, and how many tools are in the ledger."""
    found = {}
    for info in await thread.checkpointer.history(thread.scope, thread.id):
        at = await thread.checkpointer.load_at(thread.scope, thread.id, info.seq)
        found[info.seq] = repr((info, at.fields, at.messages))
    return found, len(await thread.checkpointer.tool_calls(thread.scope, thread.id))


def _kept(before: tuple[Versions, int]) -> tuple[Versions, int]:
    """What a thread is once it was pruned."""
    versions, _ = before
    return {seq: version for seq, version in versions.items() if seq > VERSIONS - KEPT}, 0


# Before and behind every statement of the first thread, behind the last one of a later one, and between two;
# how many threads are done by then.
@pytest.mark.parametrize(
    "death",
    [
        ("long_threads_of_tenants", "1", 0),
        ("wait_for_thread", "1", 0),
        ("wait_for_thread", "1.5", 0),
        ("delete_removed_messages", "1.5", 0),
        ("delete_finished_tools", "1.5", 0),
        ("delete_checkpoints", "1.5", 0),
        ("insert_archive", "1.5", 0),
        ("wait_for_thread", "2", 1),
        ("insert_archive", "3.5", 2),
    ],
)
async def test_killed_pruning(
    migrated_database_url: str,
    engine: AsyncEngine,
    owner: Any,
    checkpointer: PgCheckpointer,
    death: tuple[str, str, int],
) -> None:
    """Each thread has all versions, or those that are kept, as they were; the next sweep does the rest."""
    statement, number, done = death
    repository = TenantRepository(engine)
    tenant = await repository.create(NewTenant("keeps-two", keep_checkpoints=KEPT), actor=SYSTEM)
    neighbour = await repository.create_tenant("neighbour")
    threads = await _written(checkpointer, tenant)
    await _written(checkpointer, neighbour)
    others = await rows_of(owner, neighbour.tenant_id)
    before = [await _read(thread) for thread in threads]
    assert [(len(versions), tools) for versions, tools in before] == [(VERSIONS, 1)] * THREADS
    words = ["-m", "tests.support.dying_sweeper", migrated_database_url, statement, number]
    process = await asyncio.to_thread(subprocess.run, [sys.executable, *words], cwd=ROOT, check=False)
    assert process.returncode == -signal.SIGKILL
    after = [await _read(thread) for thread in threads]
    assert after == [*map(_kept, before[:done]), *before[done:]]
    sweep = RetentionSweep(RetentionRepository(engine), rest_share=0)
    async with asyncio.timeout(60):
        assert await sweep.forget(checkpointer, timedelta(0)) == THREADS - done
    assert [await _read(thread) for thread in threads] == [*map(_kept, before)]
    messages = "SELECT count(*) FROM agentflow_messages WHERE tenant_id = $1"
    assert await owner.fetchval(messages, tenant.tenant_id) == THREADS * KEPT
    assert await rows_of(owner, neighbour.tenant_id) == others
