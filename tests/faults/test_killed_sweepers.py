"""Sweepers killed within a batch, and between two."""

import asyncio
import signal
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_tenancy import Tenant, TenantRepository, UsageRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.tenants import NewTenant
from agentflow_worker.retention_sweep import RetentionSweep
from tests.support.leaving import rows_of, write_thread
from tests.support.run import ROOT

pytestmark = pytest.mark.leaves_connections  # those of killed processes

THREADS = 7
BELOW = ("agentflow_checkpoints", "agentflow_messages")


async def _tenants(url: str, engine: AsyncEngine, owner: Any) -> tuple[Tenant, Tenant]:
    """One whose threads are all past their time, and one that keeps its own."""
    repository = TenantRepository(engine)
    old = await repository.create(NewTenant("old", retention_days=30), actor=SYSTEM)
    neighbour = await repository.create_tenant("neighbour")
    checkpointer = PgCheckpointer(url, None)
    for tenant in (old, neighbour):
        for number in range(THREADS):
            scope = Scope(tenant.tenant_id, tenant.placement)
            await write_thread(checkpointer, scope, f"tenant-{tenant.slug}:{number}", "x")
    await checkpointer.aclose()
    await owner.execute("UPDATE agentflow_threads SET updated_at = now() - interval '31 days'")
    return old, neighbour


# The first look, the first batch, behind it when nobody has noticed yet, and between two later ones.
@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("due_threads", "1"),
        ("delete_due_threads", "1"),
        ("delete_due_threads", "1.5"),
        ("delete_due_threads", "3"),
    ],
)
async def test_killed_sweep(
    migrated_database_url: str, engine: AsyncEngine, owner: Any, statement: str, number: str
) -> None:
    """No thread is there in part; the next sweep does the rest, and what is kept is counted exactly."""
    old, neighbour = await _tenants(migrated_database_url, engine, owner)
    before = await rows_of(owner, neighbour.tenant_id)
    words = ["-m", "tests.support.dying_sweeper", migrated_database_url, statement, number]
    process = await asyncio.to_thread(subprocess.run, [sys.executable, *words], cwd=ROOT, check=False)
    assert process.returncode == -signal.SIGKILL
    threads = "SELECT count(*) FROM agentflow_threads WHERE tenant_id = $1"
    left = await owner.fetchval(threads, old.tenant_id)
    assert left in {THREADS, THREADS - 2, THREADS - 4}
    for table in BELOW:
        count = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"
        assert await owner.fetchval(count, old.tenant_id) == 3 * left
    # Rows that the dead one held are free once the server has noticed; until then they are left alone.
    async with asyncio.timeout(60):
        while left:
            left -= (await RetentionSweep(RetentionRepository(engine), rest_share=0).delete()).threads
    for table in ("agentflow_threads", *BELOW):
        assert await owner.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", old.tenant_id) == 0
    used = await UsageRepository(engine).used(old.tenant_id)
    assert (used.threads, used.stored_bytes) == (0, 0)
    assert await rows_of(owner, neighbour.tenant_id) == before
