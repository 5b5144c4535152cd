"""Statements that go through SQLAlchemy are told as those of the driver are, where they are exported."""

from collections.abc import AsyncIterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.pool import engine_from_url, recreated
from agentflow.utils import span_names as names
from agentflow_tenancy import TenantRepository
from tests.support.telling import telling


@pytest.fixture
async def engine(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_from_url(migrated_database_url, pool_size=2, max_overflow=0, timeout_s=30)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("again", [False, True])
async def test_a_repositorys_statements(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    """Operation and table, below what asked for them; of no value, and not of what shows rows to a login."""
    used = recreated(engine) if again else engine
    with (
        telling(monkeypatch, sampled=True) as told,
        trace.get_tracer("test").start_as_current_span("asked") as asked,
    ):
        await TenantRepository(used).create_tenant("secret-slug")
        await TenantRepository(used).find_tenant("secret-slug")
    await used.dispose()
    found = [span for span in told.spans if span.kind is SpanKind.CLIENT]
    assert "INSERT agentflow_tenants" in {span.name for span in found}
    assert "SELECT agentflow_tenants" in {span.name for span in found}
    for span in found:
        assert span.parent == asked.get_span_context()
        assert (span.attributes or {})[names.DB_SYSTEM] == "postgresql"
        assert "secret" not in span.to_json()
        assert span.name != "SELECT"


async def test_a_statement_that_fails(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its span ends with the name of the error's class, without its words; the next one is told as well."""
    with telling(monkeypatch, sampled=True) as told, trace.get_tracer("test").start_as_current_span("asked"):
        with pytest.raises(SQLAlchemyError):
            async with engine.begin() as connection:
                await connection.execute(text("SELECT 'secret'::int FROM agentflow_tenants"))
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1 FROM agentflow_tenants"))
    failed, good = told.named("SELECT agentflow_tenants")
    assert (failed.status.status_code, good.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert "Error" in str((failed.attributes or {})[names.ERROR])
    assert "secret" not in failed.to_json()


async def test_many_rows_at_once(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One span, with how many there were."""
    insert = text(
        "INSERT INTO agentflow_tenants (tenant_id, slug, placement) VALUES (gen_random_uuid(), :slug, 1)"
    )
    with telling(monkeypatch, sampled=True) as told, trace.get_tracer("test").start_as_current_span("asked"):
        async with engine.begin() as connection:
            await connection.execute(insert, [{"slug": f"many-{number}"} for number in range(3)])
    assert told.said("INSERT agentflow_tenants", names.DB_BATCH) == [3]


async def test_nothing_is_told_of_what_is_not_exported(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting spans alone makes none of statements."""
    with telling(monkeypatch) as told, trace.get_tracer("test").start_as_current_span("asked"):
        await TenantRepository(engine).find_tenant("nobody")
    assert [span.name for span in told.spans] == ["asked"]
