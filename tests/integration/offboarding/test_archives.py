"""A tenant takes its threads along as it leaves: an archive before anything goes, and none afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportRepository, NewExport
from agentflow_tenancy.offboarding import OffboardingRepository, ReceiptRepository, Request
from agentflow_worker.export_runner import ExportRunner
from agentflow_worker.offboarding_archives import ArchiveFirst, ArchivesPlace
from agentflow_worker.offboarding_runner import OffboardingRunner
from tests.integration.offboarding.conftest import Connection
from tests.support.exporting import Exporting, exporting, fill, kept, scope_of
from tests.support.leaving import rows_of, runner_of, work_all


@pytest.fixture
async def work(engine: AsyncEngine, checkpointer: PgCheckpointer, tmp_path: Path) -> Exporting:
    return await exporting(engine, checkpointer, tmp_path)


@asynccontextmanager
async def at_work(runner: ExportRunner) -> AsyncIterator[None]:
    stop = asyncio.Event()
    working = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        stop.set()
        await working


def leaving(work: Exporting) -> OffboardingRunner:
    places = [ArchivesPlace(work.engine, work.folder)]
    return runner_of(work.engine, places=places, exporter=ArchiveFirst(work.engine))


async def test_an_archive_goes_along(
    work: Exporting, owner: Connection, tenant: Tenant, neighbour: Tenant
) -> None:
    """Exported, purged, its receipt issued, imported by another tenant, where the conversation goes on."""
    ids = await fill(work.checkpointer, tenant)
    await fill(work.checkpointer, neighbour)
    await work.export(neighbour)
    kept(work.folder, tenant, b"sent to be imported")
    before = await rows_of(owner, neighbour.tenant_id)
    repository = OffboardingRepository(work.engine)
    asked = await repository.request(tenant, Request(with_export=True, grace_s=3600), actor=SYSTEM)
    async with at_work(work.runner(keep_s=60)):
        await work_all(leaving(work))
    waiting = await repository.get(asked.offboarding_id)
    assert waiting is not None
    assert waiting.state == "grace"
    assert waiting.grace_until is not None
    record = await ExportRepository(work.engine).get(tenant.tenant_id, asked.offboarding_id)
    assert record is not None
    assert record.state == "done"
    assert record.expires_at is not None
    assert record.expires_at > waiting.grace_until, "it is there for as long as the tenant may take it"
    archive = work.folder.archive(asked.offboarding_id).read_bytes()

    await repository.skip_grace(waiting, actor=SYSTEM)
    await work_all(leaving(work))
    done = await repository.get(asked.offboarding_id)
    assert done is not None
    assert (done.state, done.error) == ("purged", None)
    assert await ReceiptRepository(work.engine).get(asked.offboarding_id) is not None
    assert len(list(work.folder.path.iterdir())) == 1, "only the neighbour's archive is there"
    assert await rows_of(owner, neighbour.tenant_id) == before

    heir = await TenantRepository(work.engine).create_tenant("heir")
    brought = await work.bring(heir, archive)
    assert (brought.state, brought.error) == ("done", None)
    thread_id = ids[0].replace(f"tenant-{tenant.slug}:", f"tenant-{heir.slug}:")
    async with work.checkpointer.session(scope_of(heir), thread_id) as session:
        assert session.snapshot is not None
        head, at = session.snapshot.head, session.snapshot.next_pos
        await session.append(write_after(session.snapshot, {"k": 3}, added=[message(at, "and on")]))
    assert [one.content for one in await work.checkpointer.list_messages(scope_of(heir), thread_id)][
        -1
    ] == "and on"
    assert len(await work.checkpointer.history(scope_of(heir), thread_id, limit=100)) == head + 1


async def test_archives_that_hold_a_forgotten_user_go(
    work: Exporting, tenant: Tenant, neighbour: Tenant
) -> None:
    """Those of the whole tenant and the user's own; another user's stays, as do the neighbour's."""
    await fill(work.checkpointer, tenant)
    whole, _ = await work.export(tenant)
    own, _ = await work.export(tenant, user_id="u0")
    others, _ = await work.export(tenant, user_id="u1")
    theirs, _ = await work.export(neighbour)
    repository = OffboardingRepository(work.engine)
    asked = await repository.request(tenant, Request(user_id="u0"), actor=SYSTEM)
    await work_all(leaving(work))
    done = await repository.get(asked.offboarding_id)
    assert done is not None
    assert (done.state, done.error) == ("purged", None)
    there = {
        record.export_id: work.folder.archive(record.export_id).exists()
        for record in (whole, own, others, theirs)
    }
    assert there == {
        whole.export_id: False,
        own.export_id: False,
        others.export_id: True,
        theirs.export_id: True,
    }


async def test_an_export_that_fails_holds_the_purge(
    work: Exporting, owner: Connection, tenant: Tenant
) -> None:
    """Nothing goes before it is kept; a cancel gives the tenant back."""
    await fill(work.checkpointer, tenant)
    before = await owner.fetchval("SELECT count(*) FROM agentflow_messages")
    repository = OffboardingRepository(work.engine)
    asked = await repository.request(tenant, Request(with_export=True), actor=SYSTEM)
    records = ExportRepository(work.engine)
    await records.request_export(tenant, NewExport(asked.offboarding_id), actor=SYSTEM)
    await owner.execute(
        "UPDATE agentflow_exports SET state = 'failed', finished_at = now(), error = 'no room'"
    )
    await work_all(leaving(work))
    held = await repository.get(asked.offboarding_id)
    assert held is not None
    assert held.state == "exporting"
    assert held.error is not None
    assert "no room" in held.error
    assert await owner.fetchval("SELECT count(*) FROM agentflow_messages") == before
    await repository.cancel(held, actor=SYSTEM)
    again = await TenantRepository(work.engine).find_tenant(tenant.slug)
    assert again is not None
    assert again.state == "active"
