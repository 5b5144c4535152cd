"""Whoever applies tombstones to a restored database is killed: nobody is served before all of it is done."""

import asyncio
import signal
import subprocess
import sys

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_tenancy import TenantRepository
from agentflow_tenancy.restores import UnappliedTombstonesError, check_restored
from tests.support.dying_restorer import RESTORED, applying, tombstone_of
from tests.support.leaving import fill_control_plane, rows_of, texts_with, write_thread
from tests.support.run import ROOT

CANARY = "canary-of-the-restored"

pytestmark = pytest.mark.leaves_connections  # those of killed processes


@pytest.mark.parametrize(
    "statement",
    [
        "fence", "keep_digests", "delete_of_tenant agentflow_threads",
        "delete_of_tenant agentflow_runs", "delete_of_tenant agentflow_tenants", "end_others",
        "end_tokens", "new_instance", "note_restore",
    ],
)  # fmt: skip
async def test_killed(migrated_database_url: str, statement: str) -> None:
    """Doing it again ends it: nothing of the tenant is left, its neighbour is as it was."""
    engine = create_async_engine(migrated_database_url, connect_args=RESTORED)
    owner = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    checkpointer = PgCheckpointer(migrated_database_url, None)
    try:
        tenants = [await TenantRepository(engine).create_tenant(slug) for slug in ("a-1", "a-10")]
        for tenant, text in zip(tenants, (CANARY, "other"), strict=True):
            await write_thread(checkpointer, Scope(tenant.tenant_id, 1), f"tenant-{tenant.slug}:t", text)
            await fill_control_plane(engine, owner, tenant, text)
        gone, stays = (tenant.tenant_id for tenant in tenants)
        before = await rows_of(owner, stays)
        words = ["-m", "tests.support.dying_restorer", migrated_database_url, str(gone), statement]
        died = await asyncio.to_thread(subprocess.run, [sys.executable, *words], cwd=ROOT, check=False)
        assert died.returncode == -signal.SIGKILL
        with pytest.raises(UnappliedTombstonesError):
            await check_restored(engine)

        done = await applying(engine).apply([tombstone_of(gone)])

        assert done.restore_id == "r-1"
        await check_restored(engine)
        assert await texts_with(owner, CANARY) == {}
        assert set(await rows_of(owner, gone)) == {"agentflow_placements"}
        after = await rows_of(owner, stays)
        changed = {name for name in before if after[name] != before[name]}
        assert changed <= {"agentflow_tenants"}, "its tokens of the lost time have ended"
    finally:
        await checkpointer.aclose()
        await owner.close()
        await engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "places", "next_threads", "hold_threads", "purge_below", "end_claims", "forget_answers",
        "forget_names", "purge_threads", "tables", "purge_table_of_user", "end_others", "note_restore",
    ],
)  # fmt: skip
async def test_killed_while_a_user_is_forgotten_again(migrated_database_url: str, statement: str) -> None:
    """Doing it again ends it, although rows that named the user may be gone by then; others stay."""
    engine = create_async_engine(migrated_database_url, connect_args=RESTORED)
    owner = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    checkpointer = PgCheckpointer(migrated_database_url, None)
    try:
        tenant = await TenantRepository(engine).create_tenant("a-1")
        for user in (CANARY, "stays"):
            scope = Scope(tenant.tenant_id, tenant.placement, principal=user)
            for number in range(2):
                await write_thread(checkpointer, scope, f"tenant-a-1:{user}-{number}", user)
        one = str(tenant.tenant_id)
        words = ["-m", "tests.support.dying_restorer", migrated_database_url, one, statement, CANARY]
        died = await asyncio.to_thread(subprocess.run, [sys.executable, *words], cwd=ROOT, check=False)
        assert died.returncode == -signal.SIGKILL
        with pytest.raises(UnappliedTombstonesError):
            await check_restored(engine)

        await applying(engine).apply([tombstone_of(tenant.tenant_id, CANARY)])

        await check_restored(engine)
        assert await texts_with(owner, CANARY) == {}
        rows = await owner.fetch("SELECT user_id FROM agentflow_threads")
        assert [row["user_id"] for row in rows] == ["stays", "stays"]
    finally:
        await checkpointer.aclose()
        await owner.close()
        await engine.dispose()
