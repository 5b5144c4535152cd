"""A database with two tenants whose slugs begin alike."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow_tenancy import Tenant, TenantRepository
from tests.support import databases

type Connection = asyncpg.Connection[Any]


@pytest.fixture
async def engine(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url, pool_size=10)
    yield engine
    await engine.dispose()


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def checkpointer(migrated_database_url: str, redis_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(databases.app_url(migrated_database_url), redis_url)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def tenant(engine: AsyncEngine) -> Tenant:
    return await TenantRepository(engine).create_tenant("a-1")


@pytest.fixture
async def neighbour(engine: AsyncEngine) -> Tenant:
    return await TenantRepository(engine).create_tenant("a-10")
