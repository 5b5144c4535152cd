"""Tenants and keys in a real database."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.errors import StorageError, StoreUnavailableError
from agentflow_tenancy import (
    Authenticator,
    CredentialError,
    InvalidSlugError,
    KeyRepository,
    SlugTakenError,
    TenantRepository,
    TenantSuspendedError,
    new_api_key,
)
from agentflow_tenancy.schema import POOL_PLACEMENTS

PEPPER = b"p" * 32


@pytest.fixture
async def repository(migrated_database_url: str) -> AsyncIterator[TenantRepository]:
    engine = create_async_engine(migrated_database_url)
    yield TenantRepository(engine)
    await engine.dispose()


@pytest.fixture
async def keys(migrated_database_url: str) -> AsyncIterator[KeyRepository]:
    engine = create_async_engine(migrated_database_url)
    yield KeyRepository(engine)
    await engine.dispose()


@pytest.fixture
async def execute(migrated_database_url: str) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
    yield connection.execute
    await connection.close()


async def test_tenants_spread_over_the_pool(repository: TenantRepository) -> None:
    """Into the emptiest partition each; placement 0 is nobody's."""
    made = [await repository.create_tenant(f"t-{i}") for i in range(2 * len(POOL_PLACEMENTS))]
    assert sorted(tenant.placement for tenant in made) == sorted([*POOL_PLACEMENTS, *POOL_PLACEMENTS])
    assert await repository.find_tenant("t-3") == made[3]
    assert await repository.find_tenant("t-99") is None
    assert await repository.find_tenant(str(made[3].tenant_id)) == made[3]
    assert await repository.find_tenant(str(uuid.uuid4())) is None


async def test_a_slug_is_one_tenants(repository: TenantRepository) -> None:
    """Also when many want it at once."""
    made = await asyncio.gather(*(repository.create_tenant("acme") for _ in range(8)), return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in made) == 1
    assert sum(isinstance(outcome, SlugTakenError) for outcome in made) == 7
    with pytest.raises(InvalidSlugError):
        await repository.create_tenant("Acme")


async def test_the_database_refuses_what_the_code_would(execute: Callable[..., Awaitable[str]]) -> None:
    """Bad rows cannot exist, whoever writes them."""
    insert = "INSERT INTO agentflow_tenants (slug, placement, state) VALUES ($1, $2, $3)"
    bad = [("a_b", 1, "active"), ("A", 1, "active"), ("-a", 1, "active"), ("x" * 41, 1, "active")]
    for slug, placement, state in [*bad, ("a", 0, "active"), ("a", 1, "gone")]:
        with pytest.raises(asyncpg.CheckViolationError):
            await execute(insert, slug, placement, state)


async def test_the_life_of_a_key(repository: TenantRepository, keys: KeyRepository) -> None:
    """Good, then revoked; another one expires; a suspended tenant's are all refused."""
    tenant = await repository.create_tenant("acme", agents=["echo"], default_agent="echo")
    other = await repository.create_tenant("other")
    key, short = new_api_key(), new_api_key()
    await keys.create(tenant.tenant_id, key, pepper=PEPPER, name="one")
    passed = datetime.now(UTC) - timedelta(seconds=1)
    await keys.create(tenant.tenant_id, short, pepper=PEPPER, name="two", expires_at=passed)
    authenticator = Authenticator(repository, PEPPER, remember_s=0)
    assert (await authenticator.authenticate(key.text)).tenant == tenant
    with pytest.raises(CredentialError):
        await authenticator.authenticate(short.text)
    with pytest.raises(CredentialError):
        await Authenticator(repository, b"q" * 32).authenticate(key.text)

    assert await repository.set_state(tenant.tenant_id, "suspended")
    with pytest.raises(TenantSuspendedError):
        await authenticator.authenticate(key.text)
    assert await repository.set_state(tenant.tenant_id, "active")
    assert (await authenticator.authenticate(key.text)).scope.epoch == tenant.epoch + 2

    assert not await keys.revoke(other.tenant_id, key.key_id)
    assert await keys.revoke(tenant.tenant_id, key.key_id)
    with pytest.raises(CredentialError):
        await authenticator.authenticate(key.text)


async def test_no_secret_is_stored(
    repository: TenantRepository, keys: KeyRepository, migrated_database_url: str
) -> None:
    """Neither the key nor its secret part stands in the table."""
    tenant = await repository.create_tenant("acme")
    key = new_api_key()
    await keys.create(tenant.tenant_id, key, pepper=PEPPER, name="one")
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
    row = await connection.fetchval("SELECT k::text FROM agentflow_api_keys k")
    await connection.close()
    assert key.key_id in row
    assert key.text.split("_")[3] not in row


async def test_without_tables_or_without_postgres(database_url: str) -> None:
    """Errors that say which it is."""
    for url, kind in (
        (database_url, StorageError),
        ("postgresql+asyncpg://u:p@127.0.0.1:1/x", StoreUnavailableError),
    ):
        engine = create_async_engine(url)
        with pytest.raises(kind):
            await TenantRepository(engine).find_tenant("acme")
        await engine.dispose()
