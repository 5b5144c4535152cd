"""Tenants and keys when the answer to a commit is lost: one effect, and the caller gets what was made."""

import uuid
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow_tenancy import (
    Authenticator,
    KeyRepository,
    NewApiKey,
    SlugTakenError,
    TenantRepository,
    new_api_key,
)
from agentflow_tenancy.control_plane import SYSTEM, AuditLog
from agentflow_tenancy.errors import IssuerTakenError
from agentflow_tenancy.issuers import Issuer, IssuerRepository
from agentflow_tenancy.signing_keys import SigningKeys
from agentflow_tenancy.tenants import NewTenant
from tests.support.wire_proxy import WireProxy

PEPPER = b"p" * 32


@pytest.fixture
async def proxy(migrated_database_url: str) -> AsyncIterator[WireProxy]:
    async with WireProxy(migrated_database_url) as proxy:
        yield proxy


@pytest.fixture
async def engine(proxy: WireProxy) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(proxy.url)
    yield engine
    await engine.dispose()


async def written(engine: AsyncEngine) -> list[str]:
    """What the audit log says was done, oldest first."""
    return [entry.action for entry in reversed(await AuditLog(engine).page(None))]


async def test_a_tenant_is_made_once_with_its_key(proxy: WireProxy, engine: AsyncEngine) -> None:
    """The second try finds the tenant and the key that the first one committed; the slug is not "taken"."""
    repository, key = TenantRepository(engine), new_api_key()
    first = NewApiKey(key.key_id, key.digest(PEPPER), "first")
    await repository.ping()
    proxy.cut_answers = 1
    tenant, info = await repository.create_with_key(NewTenant("acme"), first, actor=SYSTEM)
    assert proxy.cuts == 1
    assert (await repository.find_tenant("acme")) == tenant
    assert info.key_id == key.key_id
    assert (await Authenticator(repository, PEPPER).authenticate(key.text)).tenant == tenant
    assert await written(engine) == ["tenant.create", "key.create"]
    with pytest.raises(SlugTakenError):
        await repository.create_with_key(NewTenant("acme"), first, actor=SYSTEM)


async def test_a_key_is_made_and_rotated_once(proxy: WireProxy, engine: AsyncEngine) -> None:
    """The new key is told to who asked, and good; another rotation of the old one is refused."""
    repository, keys = TenantRepository(engine), KeyRepository(engine)
    tenant = await repository.create_tenant("acme")
    old, new = new_api_key(), new_api_key()
    proxy.cut_answers = 1
    await keys.create(tenant.tenant_id, old, pepper=PEPPER, name="app", scopes=["threads:read"])
    proxy.cut_answers = 1
    turned = await keys.rotate(tenant.tenant_id, old.key_id, new, pepper=PEPPER, overlap_s=60)
    assert proxy.cuts == 2
    assert turned is not None
    assert (turned.key_id, turned.name, turned.scopes) == (new.key_id, "app", ("threads:read",))
    assert (await Authenticator(repository, PEPPER).authenticate(new.text)).key_id == new.key_id
    again = await keys.rotate(tenant.tenant_id, old.key_id, new_api_key(), pepper=PEPPER, overlap_s=60)
    assert again is None
    assert [key.replaced_by for key in await keys.list(tenant.tenant_id) if key.replaced_by] == [new.key_id]
    assert await written(engine) == ["tenant.create", "key.create", "key.rotate"]


async def test_the_signing_key_is_replaced_once(proxy: WireProxy, engine: AsyncEngine) -> None:
    """The one that the first try made signs; what the old one signed is still checked."""
    keys = SigningKeys(engine, PEPPER)
    old = await keys.current()
    proxy.cut_answers = 1
    kid = await keys.rotate(SYSTEM)
    assert proxy.cuts == 1
    assert kid == (await keys.current()).kid != old.kid
    assert await keys.find(old.kid) is not None
    assert await written(engine) == ["signing_key.create"] * 2


async def test_an_issuer_is_trusted_once(proxy: WireProxy, engine: AsyncEngine) -> None:
    """It is not "registered already" by the same call."""
    tenant = await TenantRepository(engine).create_tenant("acme")
    issuers = IssuerRepository(engine)
    new = Issuer(
        issuer_id=uuid.uuid4(), issuer="https://login.example", audience="app", jwks_uri="https://login.example/j",
        jwks=None, algorithms=("ES256",), scopes=("threads:read",), user_claim="sub",
    )  # fmt: skip
    proxy.cut_answers = 1
    made = await issuers.create(tenant, new, actor=SYSTEM)
    assert proxy.cuts == 1
    assert await issuers.list_of(tenant.tenant_id) == [made]
    assert await written(engine) == ["tenant.create", "issuer.create"]
    with pytest.raises(IssuerTakenError):
        await issuers.create(tenant, new, actor=SYSTEM)


async def test_a_tenant_without_its_key_is_not_made(engine: AsyncEngine) -> None:
    """Both or neither."""
    repository = TenantRepository(engine)
    with pytest.raises(Exception, match="cannot store"):
        await repository.create_with_key(NewTenant("acme"), NewApiKey("k", b"short", "first"), actor=SYSTEM)
    assert await repository.find_tenant("acme") is None
    assert await written(engine) == []
