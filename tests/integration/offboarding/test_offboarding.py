"""A tenant leaves: nothing of it is left, nothing comes back, and its neighbour is as it was."""

import asyncio
import uuid

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.errors import StorageError, TenantGoneError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import CredentialError, Tenant, TenantLeavingError, TenantRepository
from agentflow_tenancy.authenticator import Authenticator
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.errors import MoveConflictError
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_tenancy.moves.mover import Way
from agentflow_tenancy.offboarding import OffboardingRepository, ReceiptRepository, Request, Subject, Verifier
from agentflow_tenancy.offboarding.receipts import verify
from agentflow_worker.operation_runner import OperationRunner
from tests.integration.offboarding.conftest import Connection
from tests.support import databases
from tests.support.leaving import (
    PEPPER,
    STAYS,
    dump_of,
    fill_control_plane,
    keys_of,
    offboarded,
    rows_of,
    runner_of,
    tables_of,
    texts_with,
    work_all,
    write_thread,
)


async def _filled(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant, canary: str
) -> str:
    scope = Scope(tenant.tenant_id, tenant.placement)
    for number in range(3):
        await write_thread(checkpointer, scope, f"tenant-{tenant.slug}:{canary}-{number}", canary)
    return await fill_control_plane(engine, owner, tenant, canary)


async def _dedicated(engine: AsyncEngine, tenant: Tenant) -> Tenant:
    operations = OperationRepository(engine)
    await operations.request(tenant, None, actor=SYSTEM)
    await OperationRunner(operations, Mover(engine, settle_s=0)).work_once()
    moved = await TenantRepository(engine).find_tenant(tenant.slug)
    assert moved is not None
    assert moved.placement >= 1000
    return moved


@pytest.mark.parametrize("dedicated", [False, True])
async def test_nothing_is_left(  # noqa: PLR0917 - fixtures
    engine: AsyncEngine,
    owner: Connection,
    redis: Redis,
    checkpointer: PgCheckpointer,
    tenant: Tenant,
    neighbour: Tenant,
    dedicated: bool,
) -> None:
    """In no table, no leaf and no key; the receipt verifies; the neighbour is byte-identical."""
    canary, other = f"canary{uuid.uuid4().hex}", f"other{uuid.uuid4().hex}"
    key = await _filled(engine, owner, checkpointer, tenant, canary)
    await _filled(engine, owner, checkpointer, neighbour, other)
    if dedicated:
        tenant = await _dedicated(engine, tenant)
    assert canary in await asyncio.to_thread(dump_of, engine)
    assert len(await texts_with(owner, canary)) >= 12
    assert await keys_of(redis, tenant.tenant_id)
    before = await rows_of(owner, neighbour.tenant_id)
    keys_before = sorted(await keys_of(redis, neighbour.tenant_id))

    done = await offboarded(engine, tenant, runner_of(engine, redis=redis))

    assert (done.state, done.error, done.slug) == ("purged", None, None)
    assert await texts_with(owner, canary) == {}
    assert await texts_with(owner, "a-1:") == {}
    dump = await asyncio.to_thread(dump_of, engine)
    assert other in dump
    assert canary not in dump
    assert f"p{tenant.placement} " not in dump or not dedicated
    assert set(await rows_of(owner, tenant.tenant_id)) == STAYS
    assert await keys_of(redis, tenant.tenant_id) == []
    assert await rows_of(owner, neighbour.tenant_id) == before
    assert sorted(await keys_of(redis, neighbour.tenant_id)) == keys_before
    leaves = await owner.fetchval(
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '_p1[0-9]{3}$'"
    )
    assert leaves == 0
    receipts = ReceiptRepository(engine)
    found = await receipts.get(done.offboarding_id)
    assert found is not None
    receipt = verify(found.as_file(), await receipts.jwks())
    assert receipt["tenant_id"] == str(tenant.tenant_id)
    assert all(look["found"] == 0 for look in receipt["verified"])
    assert len(receipt["verified"]) > 15
    assert set(receipt["kept"]) > STAYS
    assert "a-1" not in found.body.replace(str(tenant.tenant_id), "").replace(str(done.offboarding_id), "")
    assert canary not in found.body
    if dedicated:
        assert len(receipt["dropped_partitions_bytes"]) == 5
    else:
        assert receipt["deleted"]["agentflow_threads"] == 3
        assert receipt["deleted"]["agentflow_messages"] == 9
    authenticator = Authenticator(TenantRepository(engine), PEPPER)
    with pytest.raises(TenantLeavingError):
        await authenticator.authenticate(key)
    with pytest.raises(CredentialError):
        await authenticator.principal_of(key.split("_")[2])


async def test_the_slug_is_free_and_sees_nothing_old(
    engine: AsyncEngine, redis: Redis, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """A new tenant of the same slug, with threads of the same ids, begins with nothing."""
    scope = Scope(tenant.tenant_id, tenant.placement)
    await write_thread(checkpointer, scope, "tenant-a-1:t", "old")
    await offboarded(engine, tenant, runner_of(engine, redis=redis))
    again = await TenantRepository(engine).create_tenant("a-1")
    new = Scope(again.tenant_id, again.placement)
    assert await checkpointer.load(new, "tenant-a-1:t") is None
    assert await checkpointer.list_threads(new) == []
    await write_thread(checkpointer, new, "tenant-a-1:t", "new", versions=1)
    snapshot = await checkpointer.load(new, "tenant-a-1:t")
    assert snapshot is not None
    assert [stored.content for stored in snapshot.messages] == ["new"]


@pytest.mark.parametrize("dedicated", [False, True])
async def test_a_late_write_stores_nothing(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant, dedicated: bool
) -> None:
    """Of a new thread or of one that was open all the time, with however old an idea of the tenant."""
    scope = Scope(tenant.tenant_id, tenant.placement)
    await write_thread(checkpointer, scope, "old", "x")
    if dedicated:
        await _dedicated(engine, tenant)
        moved = await TenantRepository(engine).find_tenant("a-1")
        assert moved is not None
        tenant = moved
    snapshot = await checkpointer.load(scope, "old")
    assert snapshot is not None
    done = await offboarded(engine, tenant, runner_of(engine))
    assert done.state == "purged"
    write = write_after(snapshot, {"t": "late"}, added=[message(snapshot.next_pos, "late")])
    with pytest.raises(TenantGoneError):
        await checkpointer.append(scope, "old", write)
    with pytest.raises(TenantGoneError):
        await checkpointer.append(scope, "new", write_after(None, {"t": "late"}, added=[message(0, "late")]))
    with pytest.raises(TenantGoneError):
        await checkpointer.list_threads(scope)
    assert set(await rows_of(owner, tenant.tenant_id)) == STAYS


async def test_a_table_made_tomorrow_is_not_forgotten(
    engine: AsyncEngine, owner: Connection, tenant: Tenant
) -> None:
    """It is purged by its column; one whose rows stay keeps the receipt back until they can go."""
    await owner.execute("CREATE TABLE agentflow_new (tenant_id uuid REFERENCES agentflow_tenants, word text)")
    await owner.execute("INSERT INTO agentflow_new VALUES ($1, 'x')", tenant.tenant_id)
    await owner.execute("CREATE TABLE agentflow_stuck (tenant_id uuid, word text)")
    await owner.execute("INSERT INTO agentflow_stuck VALUES ($1, 'x')", tenant.tenant_id)
    await owner.execute(
        "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER stay BEFORE DELETE ON agentflow_stuck FOR EACH ROW EXECUTE FUNCTION stay()"
    )
    runner = runner_of(engine)
    repository = OffboardingRepository(engine)
    asked = await repository.request(tenant, Request(), actor=SYSTEM)
    await work_all(runner)
    blocked = await repository.get(asked.offboarding_id)
    assert blocked is not None
    assert blocked.state == "purging"
    assert blocked.error is not None
    assert "agentflow_stuck (1)" in blocked.error
    assert await owner.fetchval("SELECT count(*) FROM agentflow_new") == 0
    assert await ReceiptRepository(engine).page() == []
    await owner.execute("DROP TRIGGER stay ON agentflow_stuck")
    await owner.execute("UPDATE agentflow_offboardings SET held_until = now()")
    await work_all(runner)
    done = await repository.get(asked.offboarding_id)
    assert done is not None
    assert done.state == "purged"


async def test_it_can_be_taken_back(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """Until the grace is over nothing goes, keys open nothing, and a cancel brings all back as it was."""
    key = await _filled(engine, owner, checkpointer, tenant, "kept")
    threads = await owner.fetchval("SELECT count(*) FROM agentflow_messages")
    repository, runner = OffboardingRepository(engine), runner_of(engine)
    asked = await repository.request(tenant, Request(grace_s=3600), actor=SYSTEM)
    joined = await repository.request(tenant, Request(grace_s=5), actor=SYSTEM)
    assert joined.offboarding_id == asked.offboarding_id
    await work_all(runner)
    waiting = await repository.get(asked.offboarding_id)
    assert waiting is not None
    assert waiting.state == "grace"
    authenticator = Authenticator(TenantRepository(engine), PEPPER)
    with pytest.raises(TenantLeavingError):
        await authenticator.authenticate(key)
    assert not await TenantRepository(engine).set_state(tenant.tenant_id, "active")
    leaving = await TenantRepository(engine).find_tenant("a-1")
    assert leaving is not None
    with pytest.raises(MoveConflictError):
        await OperationRepository(engine).request(leaving, None, actor=SYSTEM)
    assert await repository.cancel(waiting, actor=SYSTEM) is not None
    again = Authenticator(TenantRepository(engine), PEPPER)
    assert (await again.authenticate(key)).tenant.state == "active"
    assert await owner.fetchval("SELECT count(*) FROM agentflow_messages") == threads
    scope = Scope(tenant.tenant_id, tenant.placement)
    await write_thread(checkpointer, scope, "tenant-a-1:more", "more")
    second = await repository.request(leaving, Request(grace_s=3600), actor=SYSTEM)
    assert second.offboarding_id != asked.offboarding_id
    await work_all(runner)
    current = await repository.get(second.offboarding_id)
    assert current is not None
    assert await repository.skip_grace(current, actor=SYSTEM) is not None
    await work_all(runner)
    done = await repository.get(second.offboarding_id)
    assert done is not None
    assert done.state == "purged"
    assert await repository.cancel(done, actor=SYSTEM) is None


async def test_a_dry_run_changes_nothing(
    engine: AsyncEngine, owner: Connection, redis: Redis, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """It says what would go, how much of it."""
    await _filled(engine, owner, checkpointer, tenant, "kept")
    before = await rows_of(owner, tenant.tenant_id)
    done = await offboarded(engine, tenant, runner_of(engine, redis=redis), dry_run=True)
    assert done.state == "measured"
    assert done.threads_total == 3
    assert done.counts["agentflow_threads"] == 3
    assert done.counts["agentflow_messages"] == 9
    assert done.counts["agentflow_api_keys"] == 1
    assert done.counts["run queue"] == 2
    after = await rows_of(owner, tenant.tenant_id)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"agentflow_offboardings"}


async def test_offboarding_wins_over_a_move(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """A tenant half-way to a partition of its own goes from both places, and the mover gives up."""
    scope = Scope(tenant.tenant_id, tenant.placement)
    for number in range(4):
        await write_thread(checkpointer, scope, f"t{number}", "x")
    operations, mover = OperationRepository(engine), Mover(engine, settle_s=0)
    operation = await operations.request(tenant, None, actor=SYSTEM)
    target = await mover.new_placement()
    await owner.execute(
        "UPDATE agentflow_operations SET state = 'running', holder = gen_random_uuid(), started_at = now(),"
        " held_until = now() + interval '1 hour', target = $1, step = 'move'",
        target,
    )
    way = Way(tenant.tenant_id, tenant.placement, target)
    await mover.prepare(way)
    await mover.announce(way)
    assert await mover.fence(way)
    await mover._move_batch(way, "", 1)
    placements = {
        row["placement"] for row in await owner.fetch("SELECT DISTINCT placement FROM agentflow_threads")
    }
    assert placements == {tenant.placement, target}
    done = await offboarded(engine, tenant, runner_of(engine))
    assert (done.state, done.error) == ("purged", None)
    assert set(await rows_of(owner, tenant.tenant_id)) == STAYS
    assert await operations.get(operation.operation_id) is None
    assert await owner.fetchval("SELECT to_regclass($1)", f"agentflow_threads_p{target}") is None


async def test_an_archive_is_kept_before_anything_goes(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """Who asks for one waits where none can be kept; where one can, it is made while all is there."""
    await write_thread(checkpointer, Scope(tenant.tenant_id, tenant.placement), "t", "x")
    repository = OffboardingRepository(engine)
    asked = await repository.request(tenant, Request(with_export=True), actor=SYSTEM)
    await work_all(runner_of(engine))
    waiting = await repository.get(asked.offboarding_id)
    assert waiting is not None
    assert waiting.state == "exporting"
    assert waiting.error is not None
    seen: list[tuple[Subject, int]] = []

    async def exporter(subject: Subject, offboarding_id: uuid.UUID) -> bool:
        assert offboarding_id == asked.offboarding_id
        seen.append((subject, await owner.fetchval("SELECT count(*) FROM agentflow_messages")))
        return True

    await owner.execute("UPDATE agentflow_offboardings SET held_until = now()")
    await work_all(runner_of(engine, exporter=exporter))
    done = await repository.get(asked.offboarding_id)
    assert done is not None
    assert done.state == "purged"
    assert seen == [(Subject(tenant.tenant_id, "a-1"), 3)]


async def test_a_login_that_is_shown_nothing_gives_no_receipt(
    engine: AsyncEngine, owner: Connection, migrated_database_url: str, tenant: Tenant
) -> None:
    """It would find nothing where rows are hidden from it: each look says whether they are."""
    subject = Subject(tenant.tenant_id, tenant.slug)
    blinded = create_async_engine(databases.app_url(migrated_database_url))
    try:
        with pytest.raises(StorageError):  # leaves are nobody's but the owner's
            await Verifier(blinded, []).looks(subject)
        for table in await tables_of(owner):
            await owner.execute(f"GRANT SELECT ON {table} TO agentflow_app")
        looks = await Verifier(blinded, []).looks(subject)
    finally:
        await blinded.dispose()
    assert {look.place: look.found for look in looks}["login"] == 1
    seen = await Verifier(engine, []).looks(subject)
    assert {look.place: look.found for look in seen}["login"] == 0
