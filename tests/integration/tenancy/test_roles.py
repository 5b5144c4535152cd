"""A service starts only as a login that row level security binds."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow_tenancy.roles import RoleGuard, UnsafeRoleError, check_app_role
from tests.support import databases

LEAF = "agentflow_threads_p3"


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def app(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(databases.app_url(migrated_database_url))
    yield engine
    await engine.dispose()


async def test_the_services_login_is_safe(app: AsyncEngine) -> None:
    """And asked about once only."""
    guard = RoleGuard(app)
    await guard.require()
    await app.dispose()
    await guard.require()
    assert app.pool.checkedin() == 0  # type: ignore[attr-defined]


async def test_the_owner_is_not(owner: AsyncEngine) -> None:
    """It is told all that is wrong, and what to do."""
    with pytest.raises(UnsafeRoleError, match=r"owner.*agentflow_operator.*agentflow-cloud login"):
        await check_app_role(owner)


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (f"GRANT SELECT ON {LEAF} TO agentflow_app", LEAF),
        (f"GRANT UPDATE (state) ON {LEAF} TO agentflow_app", LEAF),
        (f"GRANT SELECT ON {LEAF} TO PUBLIC", LEAF),
        ("ALTER TABLE agentflow_messages NO FORCE ROW LEVEL SECURITY", "agentflow_messages"),
        ("ALTER TABLE agentflow_writes DISABLE ROW LEVEL SECURITY", "agentflow_writes"),
    ],
)
async def test_what_somebody_changed_is_found(
    owner: AsyncEngine, app: AsyncEngine, statement: str, finding: str
) -> None:
    """Rights on one leaf show other tenants' rows; a table whose policies are off shows all."""
    async with owner.begin() as connection:
        await connection.exec_driver_sql(statement)
    with pytest.raises(UnsafeRoleError, match=finding):
        await check_app_role(app)


def test_the_api_does_not_start_as_the_owner(migrated_database_url: str) -> None:
    """It ends at once, with the reason and without a password."""
    environment = {
        "AGENTFLOW_DATABASE_URL": migrated_database_url,
        "AGENTFLOW_REDIS_URL": "none",
        "AGENTFLOW_KEY_PEPPER": "x" * 32,
        "AGENTFLOW_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "agentflow_api"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "agentflow-cloud login" in done.stderr
    assert "Traceback" not in done.stderr
