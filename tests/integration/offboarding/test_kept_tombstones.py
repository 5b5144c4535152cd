"""Tombstones outside of the database, and what one that was restored gets again from them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_hosting.leaving import AnswersPlace, RunQueuePlace
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.keys import parse_api_key
from agentflow_tenancy.offboarding import OffboardingRepository, ReceiptRepository, Request
from agentflow_tenancy.offboarding.receipts import verify_chain
from agentflow_tenancy.signing_keys import SigningKeys
from agentflow_tenancy.tombstones import TombstoneFile, TombstoneRepository
from agentflow_worker.tombstone_keeper import TombstoneKeeper
from tests.integration.offboarding.conftest import Connection
from tests.support import databases
from tests.support.leaving import (
    PEPPER,
    fill_control_plane,
    offboarded,
    rows_of,
    runner_of,
    texts_with,
    work_all,
    write_thread,
)

CANARY = "canary-of-the-restored"


async def test_none_is_issued_before_it_is_kept(
    engine: AsyncEngine, owner: Connection, tenant: Tenant, neighbour: Tenant, tmp_path: Path
) -> None:
    """Where the file cannot be written the offboarding waits and says why."""
    file = TombstoneFile(tmp_path / "tombstones.jsonl")
    first = await offboarded(engine, tenant, runner_of(engine, keep=file.keep))
    assert [one.receipt_id for one in file.read()] == [first.offboarding_id]
    assert list(file.read()) == await TombstoneRepository(engine).all()
    waits = await offboarded(engine, neighbour, runner_of(engine, keep=TombstoneFile(tmp_path).keep))
    assert (waits.state, waits.finished_at) == ("verifying", None)
    assert "AGENTFLOW_TOMBSTONES" in str(waits.error)
    assert len(await ReceiptRepository(engine).page()) == 1
    await owner.execute("UPDATE agentflow_offboardings SET held_until = NULL")
    await work_all(runner_of(engine, keep=file.keep))
    receipts = ReceiptRepository(engine)
    kept = {one.receipt_id: one.issued for one in file.read()}
    for receipt in await receipts.page():
        issued = kept[receipt.receipt_id]
        assert issued is not None
        assert (issued.body, issued.jws) == (receipt.body, receipt.jws)
    assert len(kept) == 2


async def test_what_the_file_lacks_is_written(
    engine: AsyncEngine, tenant: Tenant, neighbour: Tenant, tmp_path: Path
) -> None:
    """Of the time before there was one, and when it was lost; nothing twice."""
    file = TombstoneFile(tmp_path / "tombstones.jsonl")
    repository = TombstoneRepository(engine)
    keeper = TombstoneKeeper(repository, file, every_s=60)
    assert await keeper.catch_up() == 0
    await offboarded(engine, tenant, runner_of(engine))
    assert await keeper.catch_up() == 1
    assert await keeper.catch_up() == 0
    await offboarded(engine, neighbour, runner_of(engine, keep=file.keep))
    assert await keeper.catch_up() == 0
    assert list(file.read()) == await repository.all()
    (tmp_path / "tombstones.jsonl").unlink()
    assert await keeper.catch_up() == 2
    assert list(file.read()) == await repository.all()


@pytest.fixture
def restored_url(migrated_database_url: str) -> Iterator[str]:
    """Where a copy of the database will be, as a backup that is restored later."""
    name = databases.new_name("restored")
    yield databases.url_of(migrated_database_url, name)
    databases.drop(migrated_database_url, name)


async def _asked(url: str, tenant: Tenant, **asked: Any) -> None:
    engine = create_async_engine(url)
    await OffboardingRepository(engine).request(tenant, Request(**asked), actor=SYSTEM)
    await work_all(runner_of(engine))
    await engine.dispose()


async def _before_the_backup(url: str, tmp_path: Path) -> tuple[dict[str, Tenant], str]:
    """One tenant has gone, and another one waits for its grace to end; a third one will change its mind."""
    file = TombstoneFile(tmp_path / "tombstones.jsonl")
    engine = create_async_engine(url)
    owner = await asyncpg.connect(url.replace("+asyncpg", ""))
    tenants = {slug: await TenantRepository(engine).create_tenant(slug) for slug in ("a", "b", "c", "d")}
    await offboarded(engine, tenants["a"], runner_of(engine, keep=file.keep))
    key = await fill_control_plane(engine, owner, tenants["b"], CANARY)
    checkpointer = PgCheckpointer(url, None)
    for slug, user in (("b", CANARY), ("c", CANARY), ("c", "stays")):
        scope = Scope(tenants[slug].tenant_id, tenants[slug].placement, principal=user)
        await write_thread(checkpointer, scope, f"tenant-{slug}:{user}", user)
    await owner.execute(
        "INSERT INTO agentflow_idempotency (tenant_id, key, fingerprint, effect_id, status, body, held_until)"
        " VALUES ($1, 'k', '', gen_random_uuid(), 200, $2, now())",
        tenants["c"].tenant_id,
        f'{{"thread_id": "{CANARY}"}}',
    )
    await checkpointer.aclose()
    await owner.close()
    await engine.dispose()
    await _asked(url, tenants["b"], grace_s=3600)
    await _asked(url, tenants["d"], grace_s=3600)
    return tenants, key


async def _after_the_backup(url: str, tenants: dict[str, Tenant], tmp_path: Path) -> list[Any]:
    """The key is replaced, the second tenant and a user are gone; the receipts as they were handed out."""
    engine = create_async_engine(url)
    await SigningKeys(engine, PEPPER).rotate(SYSTEM)
    file = TombstoneFile(tmp_path / "tombstones.jsonl")
    runner = runner_of(engine, keep=file.keep)
    repository = OffboardingRepository(engine)
    for waiting in await repository.page(tenant_id=tenants["b"].tenant_id):
        await repository.skip_grace(waiting, actor=SYSTEM)
    await work_all(runner)
    await offboarded(engine, tenants["c"], runner, user_id=CANARY)
    receipts = [one.as_file() for one in await ReceiptRepository(engine).page()]
    await engine.dispose()
    return receipts


def test_what_a_restored_database_gets_again(
    migrated_database_url: str, restored_url: str, tmp_path: Path
) -> None:
    """All that went is gone again, with every name; receipts go on behind those that were handed out."""
    tenants, key = databases.run(_before_the_backup(migrated_database_url, tmp_path))
    template = make_url(migrated_database_url).database
    databases.create(migrated_database_url, str(make_url(restored_url).database), template)
    issued = databases.run(_after_the_backup(migrated_database_url, tenants, tmp_path))
    assert len(issued) == 3
    databases.run(_restored(restored_url, tenants, key, issued, tmp_path))


async def _restored(
    url: str, tenants: dict[str, Tenant], key: str, issued: list[Any], tmp_path: Path
) -> None:
    settings = {"server_settings": {"agentflow.restore": "r-1"}}
    engine = create_async_engine(url, connect_args=settings)
    owner = await asyncpg.connect(url.replace("+asyncpg", ""))
    file = TombstoneFile(tmp_path / "tombstones.jsonl")
    repository = TombstoneRepository(engine, [RunQueuePlace(engine), AnswersPlace(engine)])
    graces = "SELECT grace_until FROM agentflow_offboardings WHERE state = 'grace' AND tenant_id = $1"
    before = await owner.fetchval(graces, tenants["d"].tenant_id)
    stays = await rows_of(owner, tenants["d"].tenant_id)

    done = await repository.apply(file.read()[:1])
    assert (done.receipts, done.refused, done.unknown) == (0, 0, 0)
    assert await owner.fetchval(graces, tenants["d"].tenant_id) > before, "it may be cancelled once more"
    done = await repository.apply(file.read())
    assert (done.tombstones, done.receipts, done.refused, done.unknown) == (3, 2, 0, 0)
    assert await texts_with(owner, CANARY) == {}
    left = await owner.fetch("SELECT thread_id FROM agentflow_threads")
    assert [row["thread_id"] for row in left] == ["tenant-c:stays"]
    open_ones = "SELECT tenant_id FROM agentflow_offboardings WHERE finished_at IS NULL"
    assert [row["tenant_id"] for row in await owner.fetch(open_ones)] == [tenants["d"].tenant_id]
    now = await rows_of(owner, tenants["d"].tenant_id)
    changes = {"agentflow_tenants", "agentflow_offboardings"}
    assert {name for name in stays if now[name] != stays[name]} == changes

    receipts = ReceiptRepository(engine)
    assert [one.as_file() for one in await receipts.page()] == issued
    assert list(file.read()) == await repository.all()
    again = await repository.apply(file.read())
    assert (again.rows, again.receipts, again.refused) == (0, 0, 0)
    short = await repository.apply(file.read()[:-1])
    assert short.unknown == 1

    digest = parse_api_key(key).digest(PEPPER)
    assert await TenantRepository(engine).is_ended(digest), "who has the old key is told so"
    new = await TenantRepository(engine).create_tenant("e")
    await offboarded(engine, new, runner_of(engine, keep=file.keep))
    chain = [one.as_file() for one in await receipts.page()]
    assert verify_chain(chain, await receipts.jwks()) == 4
    assert chain[:3] == issued
    await owner.close()
    await engine.dispose()
