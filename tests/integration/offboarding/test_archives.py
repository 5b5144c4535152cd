"""A tenant takes its threads along as it leaves: an archive before anything goes, and none afterwards."""

import uuid
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportQueue, ExportRepository, NewExport
from agentflow_tenancy.exports.records import MOST_OPEN
from agentflow_tenancy.offboarding import OffboardingRepository, ReceiptRepository, Request
from agentflow_worker.offboarding_archives import ArchiveFirst, ArchivesElsewhere, ArchivesPlace
from agentflow_worker.offboarding_runner import OffboardingRunner
from tests.integration.offboarding.conftest import Connection
from tests.support.exporting import Exporting, exporting, fill, kept, scope_of
from tests.support.leaving import offboarded, rows_of, runner_of, work_all


@pytest.fixture
async def work(engine: AsyncEngine, checkpointer: PgCheckpointer, tmp_path: Path) -> Exporting:
    return await exporting(engine, checkpointer, tmp_path)


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
    await work_all(leaving(work))
    waiting = await repository.get(asked.offboarding_id)
    assert waiting is not None
    assert (waiting.state, waiting.error) == ("exporting", None), "nobody waits for it here"
    await work.work(keep_s=60)
    await free(work)
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


async def test_an_export_under_way_leaves_no_file(work: Exporting, tenant: Tenant) -> None:
    """Whoever writes an archive of a tenant that leaves ends, and what it wrote goes, whenever it began."""
    await fill(work.checkpointer, tenant)
    record = await work.records.request_export(tenant, NewExport(uuid.uuid4()), actor=SYSTEM)
    runner = work.runner()
    taken = await ExportQueue(work.engine).take(runner._holder, 60)
    assert taken is not None
    assert taken.export_id == record.export_id
    done = await offboarded(work.engine, tenant, leaving(work))
    assert (done.state, done.error) == ("purged", None)
    work.folder.partial(record.export_id, 1).write_bytes(b"what a worker that stood still has read before")
    await runner._carry_out(taken)
    assert list(work.folder.path.iterdir()) == []


async def test_others_exports_have_to_end_first(work: Exporting, tenant: Tenant) -> None:
    """With as many open as may be the offboarding waits for its own, says so, and goes on after them."""
    await fill(work.checkpointer, tenant)
    for _ in range(MOST_OPEN):
        await work.records.request_export(tenant, NewExport(uuid.uuid4()), actor=SYSTEM)
    repository = OffboardingRepository(work.engine)
    asked = await repository.request(tenant, Request(with_export=True), actor=SYSTEM)
    await work_all(leaving(work))
    waiting = await repository.get(asked.offboarding_id)
    assert waiting is not None
    assert (waiting.state, "open already" in (waiting.error or "")) == ("exporting", True)
    await work.work()
    for _ in range(2):  # its own is asked for, and is there
        await free(work)
        await work_all(leaving(work))
        await work.work()
    done = await repository.get(asked.offboarding_id)
    assert done is not None
    assert (done.state, done.error) == ("purged", None)


async def test_a_worker_without_the_folder_waits(work: Exporting, tenant: Tenant) -> None:
    """Archives lie where it cannot see them: no receipt says that they are gone."""
    await fill(work.checkpointer, tenant)
    await work.export(tenant)
    blind = runner_of(work.engine, places=[ArchivesElsewhere(work.engine)])
    held = await offboarded(work.engine, tenant, blind)
    assert (held.state, "AGENTFLOW_EXPORTS" in (held.error or "")) == ("purging", True)
    assert len(list(work.folder.path.iterdir())) == 1
    await free(work)
    await work_all(leaving(work))
    done = await OffboardingRepository(work.engine).get(held.offboarding_id)
    assert done is not None
    assert done.state == "purged"
    assert list(work.folder.path.iterdir()) == []


async def free(work: Exporting) -> None:
    """Whoever had it put off looks again now."""
    async with work.engine.begin() as connection:
        await connection.execute(text("UPDATE agentflow_offboardings SET held_until = now()"))


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
