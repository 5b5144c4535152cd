"""Exports and imports killed within their steps: another worker goes on, nothing is lost or there twice."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow_tenancy import Tenant, TenantRepository, UsageRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportRecord, NewExport, layout
from tests.support import databases
from tests.support.dying_exporter import LEASE_S, PART_THREADS
from tests.support.exporting import Exporting, exporting, fill

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.leaves_connections  # those of killed processes


@pytest.fixture
async def work(
    migrated_database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Exporting]:
    monkeypatch.setattr(layout, "PART_THREADS", PART_THREADS)
    engine = create_async_engine(migrated_database_url)
    checkpointer = PgCheckpointer(databases.app_url(migrated_database_url), redis_url)
    yield await exporting(engine, checkpointer, tmp_path)
    await checkpointer.aclose()
    await engine.dispose()


@pytest.fixture
async def acme(work: Exporting) -> Tenant:
    tenant = await TenantRepository(work.engine).create_tenant("acme")
    await fill(work.checkpointer, tenant, threads=5)
    return tenant


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


def start(work: Exporting, statement: str, number: int, what: signal.Signals) -> "subprocess.Popen[bytes]":
    """A worker that meets its fate."""
    url = work.engine.url.render_as_string(hide_password=False)
    arguments = [url, str(work.folder.path), statement, str(number), what.name]
    return subprocess.Popen([sys.executable, "-m", "tests.support.dying_exporter", *arguments], cwd=ROOT)


async def finish(work: Exporting, record: ExportRecord, tenant: Tenant) -> ExportRecord:
    """Have somebody else carry it out to its end."""
    runner = work.runner()
    async with asyncio.timeout(60):
        while (now := await work.found(tenant, record.export_id)).is_open:
            await runner.work_once()
            await asyncio.sleep(0.02)
    return now


# Before anything is written, within a part, before it is noted, between two, within a later one, behind the
# last, and with the whole archive kept and nobody told.
@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("count_threads", 1), ("messages", 1), ("note_export", 1), ("next_threads", 2), ("tools", 3),
        ("next_threads", 5), ("end_export", 1),
    ],
)  # fmt: skip
async def test_killed_export(work: Exporting, acme: Tenant, statement: str, number: int) -> None:
    """The archive is the one that nobody disturbed, and nothing else is left in the folder."""
    _, whole = await work.export(acme)
    new = NewExport(uuid.uuid4())
    record = await work.records.request_export(acme, new, actor=SYSTEM)
    process = start(work, statement, number, signal.SIGKILL)
    assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
    done = await finish(work, record, acme)
    assert (done.state, done.attempts) == ("done", 2)
    assert work.folder.archive(new.export_id).read_bytes() == whole
    assert {file.suffix for file in work.folder.path.iterdir()} == {".tar"}


# While it checks, when it has, within a part, before a part is noted, within a later one, with all stored.
@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("existing", 1), ("note_export", 1), ("load_messages", 1), ("count_loaded", 1), ("note_loaded", 2),
        ("note_export", 3), ("load_threads", 3), ("end_export", 1),
    ],
)  # fmt: skip
async def test_killed_import(work: Exporting, acme: Tenant, statement: str, number: int) -> None:
    """Each thread is there once and whole, and is counted once."""
    _, whole = await work.export(acme)
    beta = await TenantRepository(work.engine).create_tenant("beta")
    record = await work.ask_to_bring(beta, whole)
    process = start(work, statement, number, signal.SIGKILL)
    assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
    done = await finish(work, record, beta)
    assert (done.state, done.attempts, done.threads_done) == ("done", 2, 8)
    assert (await work.export(beta))[1] == whole
    usage = UsageRepository(work.engine)
    old, new = await usage.used(acme.tenant_id), await usage.used(beta.tenant_id)
    assert (new.threads, new.stored_bytes) == (old.threads, old.stored_bytes)


@pytest.mark.parametrize(("kind", "statement", "number"), [("export", "messages", 2), ("import", "claim", 2)])
async def test_a_worker_that_slept_changes_nothing(
    work: Exporting, acme: Tenant, kind: str, statement: str, number: int
) -> None:
    """Stopped for longer than its claim, it wakes up when somebody else has done the work."""
    _, whole = await work.export(acme)
    tenant = acme if kind == "export" else await TenantRepository(work.engine).create_tenant("beta")
    if kind == "export":
        record = await work.records.request_export(acme, NewExport(uuid.uuid4()), actor=SYSTEM)
    else:
        record = await work.ask_to_bring(tenant, whole)
    process = start(work, statement, number, signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
    await asyncio.sleep(LEASE_S)  # the claim ends by the database's clock
    done = await finish(work, record, tenant)
    assert done.state == "done"
    process.send_signal(signal.SIGCONT)
    assert await asyncio.to_thread(process.wait, 60) == 0
    assert await work.found(tenant, record.export_id) == done
    if kind == "export":
        assert work.folder.archive(record.export_id).read_bytes() == whole
    assert (await work.export(tenant))[1] == whole


async def test_cancelled_and_taken_up_again(
    work: Exporting, acme: Tenant, owner: "asyncpg.Connection[Any]"
) -> None:
    """An import that is cancelled half-way keeps what it brought; the same archive brings the rest."""
    _, whole = await work.export(acme)
    beta = await TenantRepository(work.engine).create_tenant("beta")
    record = await work.ask_to_bring(beta, whole)
    process = start(work, "load_threads", 3, signal.SIGKILL)
    assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
    assert await work.records.cancel(record) is not None
    assert (await finish(work, record, beta)).state == "cancelled"
    count = "SELECT count(*) FROM agentflow_threads WHERE tenant_id = $1"
    assert await owner.fetchval(count, beta.tenant_id) == 2 * PART_THREADS
    again = await work.bring(beta, whole)
    assert (again.export_id, again.state, again.threads_done) == (record.export_id, "done", 8)
    assert (await work.export(beta))[1] == whole
