"""Requests that may be repeated, stopped half-way while their tenant or user goes: they leave nothing."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.errors import TenantGoneError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_hosting.idempotency import OPERATOR, Answer, Claim, IdempotencyKeys
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.offboarding import Offboarding, OffboardingRepository, Request
from tests.integration.offboarding.conftest import Connection
from tests.support import databases
from tests.support.leaving import STAYS, dump_of, offboarded, rows_of, runner_of, work_all, write_thread
from tests.support.pausing import paused_before_commit


@pytest.fixture
async def stopped(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    """Of the process that is stopped: an API's."""
    engine = create_async_engine(databases.app_url(migrated_database_url))
    yield engine
    await engine.dispose()


async def claimed(keys: IdempotencyKeys, tenant_id: uuid.UUID, key: str = "k") -> Claim:
    found = await keys.claim(tenant_id, key, b"asked")
    assert isinstance(found, Claim)
    return found


async def waits_or_is_done(owner: Connection, task: "asyncio.Task[Offboarding]") -> None:
    """Until a purge waits for somebody's lock, or needs to wait for nobody."""
    blocked = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    async with asyncio.timeout(60):
        while not task.done() and not await owner.fetchval(blocked):
            await asyncio.wait({task}, timeout=0.02)


async def until_purged(engine: AsyncEngine, found: Offboarding) -> None:
    """Also what was put off."""
    async with asyncio.timeout(60):
        while (now := await OffboardingRepository(engine).get(found.offboarding_id)) is not None:
            if now.state == "purged":
                return
            await work_all(runner_of(engine))
            await asyncio.sleep(0.05)


async def test_a_claim_that_is_committed_behind_the_purge(
    engine: AsyncEngine, stopped: AsyncEngine, owner: Connection, tenant: Tenant, neighbour: Tenant
) -> None:
    """Its tenant's end waits for it, and takes it along; the neighbour's is let in meanwhile."""
    keys = IdempotencyKeys(stopped)
    with paused_before_commit(stopped) as pause:
        claim = asyncio.create_task(keys.claim(tenant.tenant_id, "late", b""))
        await pause.reached.wait()
        leaving = asyncio.create_task(offboarded(engine, tenant, runner_of(engine)))
        await waits_or_is_done(owner, leaving)
        assert isinstance(await IdempotencyKeys(engine).claim(neighbour.tenant_id, "k", b""), Claim)
        pause.go_on.set()
        await asyncio.gather(claim, return_exceptions=True)
        await until_purged(engine, await leaving)
    assert set(await rows_of(owner, tenant.tenant_id)) == STAYS
    with pytest.raises(TenantGoneError):
        await keys.claim(tenant.tenant_id, "later", b"")
    assert set(await rows_of(owner, tenant.tenant_id)) == STAYS


async def test_an_answer_about_a_forgotten_user(
    engine: AsyncEngine, owner: Connection, redis: Redis, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """Made before the user went and stored after: it is not; who asks again goes on with the same effect."""
    user = f"canary{uuid.uuid4().hex}"
    stored = f"tenant-{tenant.slug}:{user}-0"
    await write_thread(checkpointer, Scope(tenant.tenant_id, tenant.placement, principal=user), stored, user)
    keys = IdempotencyKeys(engine)
    claim = await claimed(keys, tenant.tenant_id)
    operators = await claimed(keys, OPERATOR)

    done = await offboarded(engine, tenant, runner_of(engine, redis=redis), user_id=user)
    assert done.state == "purged"
    body = json.dumps({"thread_id": f"{user}-0", "messages": [user]})
    await keys.answer(claim, 200, body)
    await keys.answer(operators, 200, body)

    assert user not in dump_of(engine)
    await owner.execute("UPDATE agentflow_idempotency SET held_until = now() - interval '1 second'")
    for first in (claim, operators):
        again = await claimed(keys, first.tenant_id)
        assert (again.effect_id, again.since is not None) == (first.effect_id, True)
        await keys.answer(again, 200, "another")
        assert isinstance(await keys.claim(first.tenant_id, "k", b"asked"), Answer)


async def test_an_answer_that_is_committed_behind_the_purge(
    engine: AsyncEngine,
    stopped: AsyncEngine,
    owner: Connection,
    redis: Redis,
    checkpointer: PgCheckpointer,
    tenant: Tenant,
) -> None:
    """It is waited for, and goes with the user whom it names."""
    user = f"canary{uuid.uuid4().hex}"
    stored = f"tenant-{tenant.slug}:{user}-0"
    await write_thread(checkpointer, Scope(tenant.tenant_id, tenant.placement, principal=user), stored, user)
    claim = await claimed(IdempotencyKeys(engine), tenant.tenant_id)
    with paused_before_commit(stopped) as pause:
        body = json.dumps({"thread_id": f"{user}-0"})
        answer = asyncio.create_task(IdempotencyKeys(stopped).answer(claim, 200, body))
        await pause.reached.wait()
        leaving = asyncio.create_task(
            offboarded(engine, tenant, runner_of(engine, redis=redis), user_id=user)
        )
        await waits_or_is_done(owner, leaving)
        pause.go_on.set()
        await answer
        await until_purged(engine, await leaving)
    assert user not in dump_of(engine)


async def test_an_operators_answer_about_a_tenant_that_went(
    engine: AsyncEngine, owner: Connection, tenant: Tenant, neighbour: Tenant
) -> None:
    """Made before its end and stored after: it is not. One that was begun after the receipt is kept."""
    keys = IdempotencyKeys(engine)
    claim = await claimed(keys, OPERATOR)
    repository = OffboardingRepository(engine)
    found = await repository.request(tenant, Request(), actor=SYSTEM)
    await work_all(runner_of(engine))
    await keys.answer(claim, 200, json.dumps({"tenant_id": str(tenant.tenant_id), "name": "canary"}))
    assert "canary" not in dump_of(engine)
    assert (await TenantRepository(engine).find_tenant(tenant.slug)) is None
    now = await repository.get(found.offboarding_id)
    assert now is not None
    assert now.state == "purged"

    later = await claimed(keys, OPERATOR, "later")
    for place in runner_of(engine)._parts.places:
        await place.purge(found.subject)
    await keys.answer(later, 200, json.dumps({"slug": neighbour.slug}))
    assert isinstance(await keys.claim(OPERATOR, "later", b"asked"), Answer)
