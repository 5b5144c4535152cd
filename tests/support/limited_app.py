"""The API inside the test's own process, for tenants whose limits the test chooses."""

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_api.app import create_app
from agentflow_api.settings import Settings
from agentflow_api.wiring import Wiring
from agentflow_hosting.agents.registry import parse_agents
from agentflow_tenancy import (
    ALL_SCOPES,
    Authenticator,
    KeyRepository,
    Limits,
    Principal,
    Tenant,
    TenantRepository,
    new_api_key,
)
from tests.support import databases
from tests.support.agents import AGENTS

PEPPER = b"p" * 32
OPERATOR = {"Authorization": "Bearer the-operators-own-token"}


class LimitedAuthenticator(Authenticator):
    """Gives tenants the limits that the test says, from the next request on."""

    def __init__(self, repository: TenantRepository) -> None:
        super().__init__(repository, PEPPER)
        self.limits: dict[str, Limits] = {}

    async def authenticate(self, presented: str, *, may_leave: bool = False) -> Principal:
        principal = await super().authenticate(presented, may_leave=may_leave)
        limits = self.limits.get(principal.tenant.slug, Limits())
        return dataclasses.replace(principal, tenant=dataclasses.replace(principal.tenant, limits=limits))


@dataclasses.dataclass
class LimitedApp:
    """An API, and how to make tenants for it."""

    app: Any
    wiring: Wiring
    authenticator: LimitedAuthenticator
    owner_url: str

    def limit(self, tenant: Tenant, **limits: int) -> None:
        self.authenticator.limits[tenant.slug] = Limits(**limits)

    async def tenant(self, *, scopes: Any = ALL_SCOPES, **limits: int) -> tuple[Tenant, httpx.AsyncClient]:
        """A tenant with these limits, and a client with a key of its own."""
        engine = create_async_engine(self.owner_url)
        try:
            repository = TenantRepository(engine)
            tenant = await repository.create_tenant(f"t-{secrets.token_hex(6)}")
            key = new_api_key()
            await KeyRepository(engine).create(
                tenant.tenant_id, key, pepper=PEPPER, name="test", scopes=scopes
            )
        finally:
            await engine.dispose()
        self.limit(tenant, **limits)
        return tenant, self.client({"Authorization": f"Bearer {key.text}"})

    def client(self, headers: dict[str, str]) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)


@asynccontextmanager
async def limited_app(database_url: str, redis_url: str | None, **settings: Any) -> AsyncIterator[LimitedApp]:
    """An API for the length of a block, logged in as row level security wants it."""
    asked: dict[str, Any] = {
        "database_url": databases.app_url(database_url),
        "redis_url": redis_url,
        "quota_redis_url": redis_url,
        "key_pepper": PEPPER,
        "agents": parse_agents(AGENTS),
        "operator_token": "the-operators-own-token",
    }
    app = create_app(Settings(**{**asked, **settings}))
    inner: Any = app
    while not hasattr(inner, "lifespan"):
        inner = inner._app
    ready, stop = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(_serve(inner, ready, stop))
    try:
        await asyncio.wait([serving, asyncio.create_task(ready.wait())], return_when="FIRST_COMPLETED")
        authenticator = LimitedAuthenticator(inner.state["wiring"].repository)
        wiring = dataclasses.replace(inner.state["wiring"], authenticator=authenticator)
        inner.state["wiring"] = wiring
        yield LimitedApp(app, wiring, authenticator, database_url)
    finally:
        stop.set()
        await serving


async def _serve(app: Any, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """In a task of its own: a fixture begins and ends in different ones."""
    async with app.lifespan():
        ready.set()
        await stop.wait()
