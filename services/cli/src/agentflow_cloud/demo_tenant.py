"""The demo tenant and its API key."""

import asyncio

from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_cloud.state import StateFolder
from agentflow_tenancy import (
    Authenticator,
    CredentialError,
    KeyRepository,
    SlugTakenError,
    TenantRepository,
    new_api_key,
)

SLUG = "demo"


def ensure_demo_tenant(database_url: str, pepper: bytes, state: StateFolder) -> str:
    """The demo tenant's API key; tenant and key are made if the database does not have them."""
    return asyncio.run(_ensure(database_url, pepper, state))


async def _ensure(database_url: str, pepper: bytes, state: StateFolder) -> str:
    engine = engine_from_url(database_url, pool_size=1, max_overflow=0, timeout_s=30)
    try:
        repository = TenantRepository(engine)
        known = state.read_key(database_url)
        if known is not None and await _is_good(repository, pepper, known):
            return known
        try:
            tenant = await repository.create_tenant(SLUG)
        except SlugTakenError:
            found = await repository.find_tenant(SLUG)
            assert found is not None, "the slug was taken a moment ago"  # noqa: S101 - for the type checker
            tenant = found
        key = new_api_key()
        await KeyRepository(engine).create(tenant.tenant_id, key, pepper=pepper, name="development")
        state.write_key(database_url, key.text)
        return key.text
    finally:
        await engine.dispose()


async def _is_good(repository: TenantRepository, pepper: bytes, key: str) -> bool:
    try:
        await Authenticator(repository, pepper).authenticate(key)
    except CredentialError:
        return False
    return True
