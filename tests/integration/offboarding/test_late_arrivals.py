"""What was under way when its tenant went: it is told so, and leaves nothing."""

import uuid

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import TenantGoneError
from agentflow.storage.checkpointer import PgCheckpointer, Scope, postgres_session
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_hosting.idempotency import IdempotencyKeys
from agentflow_tenancy import KeyRepository, Tenant, new_api_key
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportRepository, NewExport
from agentflow_tenancy.offboarding import OffboardingRepository, RedisPlace
from agentflow_worker.offboarding_runner import Pace
from agentflow_worker.purge_again import PurgeAgain
from tests.integration.offboarding.conftest import Connection
from tests.support.leaving import PEPPER, STAYS, keys_of, offboarded, rows_of, runner_of, write_thread


async def test_requests_that_were_let_in(engine: AsyncEngine, owner: Connection, tenant: Tenant) -> None:
    """Whatever they make refers to the tenant, and is refused as late; so is a key of a repeated request."""
    await offboarded(engine, tenant, runner_of(engine))
    one = tenant.tenant_id
    with pytest.raises(TenantGoneError):
        await KeyRepository(engine).create(one, new_api_key(), pepper=PEPPER, name="late")
    with pytest.raises(TenantGoneError):
        await ExportRepository(engine).request_export(tenant, NewExport(uuid.uuid4()), actor=SYSTEM)
    with pytest.raises(TenantGoneError):
        await IdempotencyKeys(engine).claim(one, "late", b"")
    assert set(await rows_of(owner, one)) == STAYS


async def test_a_state_that_is_published_late(
    engine: AsyncEngine,
    redis: Redis,
    checkpointer: PgCheckpointer,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that stood still behind its last commit tells no cache of it any more."""
    scope = Scope(tenant.tenant_id, tenant.placement)
    await write_thread(checkpointer, scope, "t", "before", versions=1)
    monkeypatch.setattr(postgres_session, "PUBLISH_WITHIN_S", 0.0)  # however short it stood still
    async with checkpointer.session(scope, "t") as session:
        await session.append(write_after(session.snapshot, {"t": 1}, added=[message(1, "canary")]))
        done = await offboarded(engine, tenant, runner_of(engine, redis=redis))
        assert done.state == "purged"
    assert await keys_of(redis, tenant.tenant_id) == []


def test_caches_are_told_before_they_are_looked_into() -> None:
    """A purge waits for longer behind the last row than a session may take to tell a cache of it."""
    assert Pace().settle_s > postgres_session.PUBLISH_WITHIN_S


async def test_what_comes_late_all_the_same(
    engine: AsyncEngine, redis: Redis, checkpointer: PgCheckpointer, tenant: Tenant, neighbour: Tenant
) -> None:
    """It is found and deleted for a while after the receipt; others keep theirs."""
    scope = Scope(neighbour.tenant_id, neighbour.placement)
    await write_thread(checkpointer, scope, "t", "x")
    theirs = sorted(await keys_of(redis, neighbour.tenant_id))
    assert theirs
    await offboarded(engine, tenant, runner_of(engine, redis=redis))
    for name in ("x}:s:1:1", "x}:l", "}:q:c"):
        separator = "" if name.startswith("}") else ":"
        await redis.set(f"af:{{{tenant.tenant_id.hex}{separator}{name}", "late")
    places = [RedisPlace(redis, "Redis, cache")]
    again = PurgeAgain(OffboardingRepository(engine), places)
    assert await again.look() == 3
    assert await again.look() == 0
    assert await keys_of(redis, tenant.tenant_id) == []
    assert sorted(await keys_of(redis, neighbour.tenant_id)) == theirs
    long_ago = PurgeAgain(OffboardingRepository(engine), places, within_s=0)
    assert await long_ago.look() == 0
