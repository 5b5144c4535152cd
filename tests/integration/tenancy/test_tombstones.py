"""Tombstones taken out of a database, and applied to one."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.errors import TenantGoneError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import NewThread
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.tombstones import Tombstone, TombstoneRepository, read_tombstones, written


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def checkpointer(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(migrated_database_url, None)
    yield checkpointer
    await checkpointer.aclose()


async def make(checkpointer: PgCheckpointer, tenant: Tenant, name: str, user_id: str) -> None:
    scope, new = Scope(tenant.tenant_id, tenant.placement), NewThread(user_id=user_id)
    async with checkpointer.session(scope, name, new_thread=new) as session:
        await session.append(write_after(None, {"a": 1}, added=[message(0, "hello")]))


def of_user(tenant: Tenant, user_id: str, purged_at: datetime) -> Tombstone:
    digest = hashlib.sha256(tenant.tenant_id.bytes + b"user:" + user_id.encode()).digest()
    return Tombstone(tenant.tenant_id, digest, purged_at, uuid.uuid4())


async def threads(database: Any) -> list[str]:
    rows = await database.fetch("SELECT thread_id FROM agentflow_threads ORDER BY 1")
    return [row["thread_id"] for row in rows]


async def test_users_and_tenants(owner: AsyncEngine, checkpointer: PgCheckpointer, database: Any) -> None:
    """Go with all they had; who came back after having been forgotten, and who is like them, stays."""
    repository = TombstoneRepository(owner)
    acme, bob = [await TenantRepository(owner).create_tenant(slug) for slug in ("acme", "bob")]
    for tenant in (acme, bob):
        await make(checkpointer, tenant, f"{tenant.slug} ann", "ann")
        await make(checkpointer, tenant, f"{tenant.slug} anna", "anna")
    now = datetime.now(UTC)
    long_ago = of_user(bob, "ann", now - timedelta(days=1))
    assert (await repository.apply([long_ago])).rows == 0
    done = await repository.apply([of_user(bob, "ann", now + timedelta(hours=1))])
    assert (done.restore_id, done.tombstones, done.rows) == (None, 1, 1)
    assert await threads(database) == ["acme ann", "acme anna", "bob anna"]
    gone = Tombstone(acme.tenant_id, None, now, uuid.uuid4())
    assert (await repository.apply([gone])).rows >= 3
    assert await threads(database) == ["bob anna"]
    assert await database.fetchval("SELECT count(*) FROM agentflow_messages") == 1
    assert await TenantRepository(owner).find_tenant("acme") is None
    assert (await repository.apply([gone])).rows == 0
    # Whoever still knows the tenant's id, with a checkpointer that was open all the time.
    with pytest.raises(TenantGoneError):
        await make(checkpointer, acme, "acme late", "ann")
    assert await threads(database) == ["bob anna"]


async def test_those_that_a_database_has(owner: AsyncEngine, database: Any) -> None:
    """Come out as they went in; where there are none, or no table yet, the file is empty."""
    repository = TombstoneRepository(owner)
    assert await repository.all() == []
    await database.execute(
        "CREATE TABLE IF NOT EXISTS agentflow_tombstones (receipt_id uuid PRIMARY KEY, "
        "tenant_id uuid NOT NULL, user_digest bytea, purged_at timestamptz NOT NULL)"
    )
    # Their receipts are not what this is about.
    await database.execute(
        "ALTER TABLE agentflow_tombstones DROP CONSTRAINT IF EXISTS agentflow_tombstones_receipt_id_fkey"
    )
    stones = [
        Tombstone(uuid.uuid4(), digest, datetime(2026, 3, day, tzinfo=UTC), uuid.uuid4())
        for day, digest in ((1, None), (2, bytes(range(32))))
    ]
    for one in reversed(stones):
        await database.execute(
            "INSERT INTO agentflow_tombstones (receipt_id, tenant_id, user_digest, purged_at) "
            "VALUES ($1, $2, $3, $4)",
            one.receipt_id,
            one.tenant_id,
            one.user_digest,
            one.purged_at,
        )
    found = await repository.all()
    assert found == stones
    assert read_tombstones(written(found)) == stones
