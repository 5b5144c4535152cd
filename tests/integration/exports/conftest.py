"""A tenant with threads, another without, and what exports and imports them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow_tenancy import Tenant, TenantRepository
from tests.support import databases
from tests.support.exporting import Exporting, exporting, fill

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
async def checkpointer(migrated_database_url: str, redis_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(databases.app_url(migrated_database_url), redis_url)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def work(engine: AsyncEngine, checkpointer: PgCheckpointer, tmp_path: Path) -> Exporting:
    return await exporting(engine, checkpointer, tmp_path)


@pytest.fixture
async def acme(engine: AsyncEngine, checkpointer: PgCheckpointer) -> Tenant:
    """Has threads of every kind."""
    tenant = await TenantRepository(engine).create_tenant("acme")
    await fill(checkpointer, tenant)
    return tenant


@pytest.fixture
async def beta(engine: AsyncEngine) -> Tenant:
    """Has none."""
    return await TenantRepository(engine).create_tenant("beta-2")
