"""What runs did, in Postgres: added up, bounded, seen by their tenant alone, and forgotten."""

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.driver_errors import NoPartitionError
from agentflow.utils import END
from agentflow.utils import span_names as names
from agentflow_embedded import EmbeddedPostgres
from agentflow_hosting.trace_collector import TraceCollector
from agentflow_hosting.trace_data import MOST_SPANS
from agentflow_hosting.trace_repository import TraceRepository
from agentflow_hosting.trace_writer import TraceWriter
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_worker.trace_sweeper import TraceSweeper
from tests.support import databases


@dataclass
class Store:
    """The repository as the API has it and as the worker has it, and runs to tell it of."""

    app: TraceRepository
    owner: AsyncEngine
    collector: TraceCollector
    provider: TracerProvider
    tenant: Tenant

    def ran(
        self,
        run_id: str = "r",
        said: Mapping[str, str | int] | None = None,
        *,
        parts: int = 1,
        tenant_id: uuid.UUID | None = None,
    ) -> None:
        """A run that ends now."""
        tracer = self.provider.get_tracer(names.SCOPE)
        ids = {
            names.OPERATION: names.RUN_SPAN,
            names.TENANT: str(tenant_id or self.tenant.tenant_id),
            names.CONVERSATION: "t",
            names.RUN: run_id,
        }
        told: dict[str, Any] = {
            names.THREAD_NO: 1,
            names.STATUS: "completed",
            names.STEPS: parts,
            **(said or {}),
        }
        with tracer.start_as_current_span(names.RUN_SPAN, attributes=ids | told):
            for _ in range(parts):
                with tracer.start_as_current_span("node A\0", attributes={"id": "\ud800"}):
                    pass

    async def keep(self) -> None:
        await self.app.keep(self.collector.take(100))


@pytest.fixture
async def store(migrated_database_url: str) -> AsyncIterator[Store]:
    owner = create_async_engine(migrated_database_url)
    engine = create_async_engine(databases.app_url(migrated_database_url))
    tenant = await TenantRepository(owner).create_tenant("acme")
    collector, provider = TraceCollector(), TracerProvider()
    provider.add_span_processor(collector)
    try:
        yield Store(TraceRepository(engine), owner, collector, provider, tenant)
    finally:
        provider.shutdown()
        await engine.dispose()
        await owner.dispose()


async def test_it_reads_as_it_was_written(store: Store) -> None:
    """Times, counts and spans; whatever text was in them."""
    store.ran(said={names.TOKENS_IN: 3, names.TOKENS_OUT: 4, names.CHECKPOINT: 9})
    await store.keep()
    found = await store.app.get(store.tenant.tenant_id, "t", "r")
    assert found is not None
    assert (found.status, found.head, found.steps, found.tokens_in, found.tokens_out) == (
        "completed",
        9,
        1,
        3,
        4,
    )
    assert found.started_at <= found.finished_at
    assert [span["name"] for span in found.spans] == ["invoke_agent", "node A\ufffd"]
    assert await store.app.get(store.tenant.tenant_id, "t", "s") is None
    assert await store.app.get(store.tenant.tenant_id, "u", "r") is None


async def test_attempts_add_up(store: Store) -> None:
    """Told at once or one after the other; the same one told again after a lost reply adds nothing."""
    store.ran(said={names.STATUS: "cancelled"})
    store.ran(parts=2)
    runs = store.collector.take(10)
    await store.app.keep(runs)
    await store.app.keep(runs)
    store.ran(parts=3)
    await store.keep()
    found = await store.app.get(store.tenant.tenant_id, "t", "r")
    assert found is not None
    assert (found.status, found.steps, len(found.spans), found.spans_lost) == ("completed", 6, 9, 0)


async def test_a_row_is_bounded(store: Store) -> None:
    """However often a run was tried."""
    for _ in range(4):
        store.ran(parts=90)
        await store.keep()
    found = await store.app.get(store.tenant.tenant_id, "t", "r")
    assert found is not None
    assert len(found.spans) <= MOST_SPANS
    assert len(found.spans) + found.spans_lost == 4 * 91


async def test_another_life_of_the_thread_begins_anew(store: Store) -> None:
    """Nothing of the old one is added to."""
    store.ran(parts=2)
    await store.keep()
    store.ran(said={names.THREAD_NO: 2})
    await store.keep()
    found = await store.app.get(store.tenant.tenant_id, "t", "r")
    assert found is not None
    assert (found.steps, len(found.spans)) == (1, 2)


async def test_tenants_are_apart(store: Store, migrated_database_url: str) -> None:
    """One batch holds several; each sees its own, nobody anything without a tenant."""
    other = await TenantRepository(store.owner).create_tenant("other")
    store.ran(parts=1)
    store.ran(parts=2, tenant_id=other.tenant_id)
    store.ran(parts=3, tenant_id=uuid.uuid4())
    await store.keep()
    mine = await store.app.get(store.tenant.tenant_id, "t", "r")
    theirs = await store.app.get(other.tenant_id, "t", "r")
    assert mine is not None
    assert theirs is not None
    assert (len(mine.spans), len(theirs.spans)) == (2, 3)
    engine = create_async_engine(databases.app_url(migrated_database_url))
    async with engine.begin() as connection:
        count = text("SELECT count(*) FROM agentflow_run_traces")
        assert (await connection.execute(count)).scalar_one() == 0
        shown = {"tenants": f"{{{other.tenant_id}}}"}
        await connection.execute(text("SELECT set_config('agentflow.tenants', :tenants, true)"), shown)
        assert (await connection.execute(count)).scalar_one() == 1
    await engine.dispose()


async def days(store: Store) -> list[str]:
    async with store.owner.begin() as connection:
        found = await connection.execute(
            text(
                "SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = 'agentflow_run_traces'::regclass ORDER BY 1"
            )
        )
        return list(found.scalars())


async def test_days_are_made_ahead_and_dropped_whole(store: Store) -> None:
    """Nobody deletes what is old row by row; what is young stays, and a day that is missing is made again."""
    repository = TraceRepository(store.owner)
    store.ran()
    await store.keep()
    made = await days(store)
    assert len(made) >= 9
    assert await repository.make_days() == 0
    assert await repository.drop_days(3600) <= 1
    assert await store.app.get(store.tenant.tenant_id, "t", "r") is not None
    assert await repository.drop_days(-2 * 86400) >= 2
    assert await store.app.get(store.tenant.tenant_id, "t", "r") is None
    store.ran()
    with pytest.raises(NoPartitionError):
        await store.keep()
    assert await repository.make_days() >= 2
    assert set(made[1:]) <= set(await days(store))


async def test_a_day_that_is_missing_fails_no_run(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """It is told, and what comes later is stored again."""
    repository = TraceRepository(store.owner)
    await repository.drop_days(-2 * 86400)
    writer = TraceWriter(store.collector, store.app)
    store.ran("lost")
    assert await writer.flush()
    assert "their day was not made" in caplog.text
    await repository.make_days()
    store.ran("kept")
    await writer.aclose()
    assert await store.app.get(store.tenant.tenant_id, "t", "lost") is None
    assert await store.app.get(store.tenant.tenant_id, "t", "kept") is not None


async def test_whoever_reads_holds_up_nobody_for_long(store: Store) -> None:
    """A day is not dropped under a reader: it is given up after a while, and done by the next sweep."""
    repository = TraceRepository(store.owner)
    async with store.owner.begin() as reader:
        await reader.execute(text("SELECT count(*) FROM agentflow_run_traces"))
        with pytest.raises(StoreUnavailableError):
            await repository.drop_days(-2 * 86400)
    assert await repository.drop_days(-2 * 86400) >= 2


async def test_nobody_has_a_right_on_a_day(store: Store, migrated_database_url: str) -> None:
    """The policies are those of the whole table."""
    [first, *_] = await days(store)
    engine = create_async_engine(databases.app_url(migrated_database_url))
    async with engine.begin() as connection:
        with pytest.raises(ProgrammingError, match="permission denied"):
            await connection.execute(text(f"SELECT FROM agentflow_run_traces_p{int(first)}"))
    await engine.dispose()


async def test_those_without_a_thread_are_forgotten(store: Store, migrated_database_url: str) -> None:
    """A thread that expired, or was made again since; that of a living thread stays, wherever it lives."""

    async def answer(_state: AgentState) -> Message:
        return Message.text_message("x", role="assistant")

    graph = StateGraph().add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END)
    app = graph.compile(PgCheckpointer(migrated_database_url, None))
    scope = Scope(store.tenant.tenant_id, store.tenant.placement)
    await app.ainvoke({"messages": "hi"}, {"thread_id": "t", "scope": scope})
    snapshot = await app.checkpointer.load(scope, "t")
    assert snapshot is not None
    await app.aclose()
    for number in range(3):
        store.ran(f"living {number}", {names.THREAD_NO: snapshot.thread_no})
        store.ran(f"late {number}", {names.THREAD_NO: snapshot.thread_no + 1})
    await store.keep()
    sweeper = TraceSweeper(store.owner, every_s=60, keep_s=3600)
    assert await sweeper.sweep() == 3
    repository = TraceRepository(store.owner)
    gone, after, rounds = 0, None, 0
    while rounds == 0 or after is not None:
        done, after = await repository.forget_without_thread(after, batch=1)
        gone, rounds = gone + done, rounds + 1
    assert (gone, rounds) == (0, 4)
    for number in range(3):
        assert await store.app.get(store.tenant.tenant_id, "t", f"living {number}") is not None


@pytest.mark.own_server
async def test_an_outage_is_waited_out(own_postgres: EmbeddedPostgres) -> None:
    """What ended in the meantime is stored later; nobody waits for it."""
    name = databases.new_name("traces")
    url = databases.url_of(own_postgres.url, name)
    databases.create(own_postgres.url, name)
    databases.migrate(url)
    owner = create_async_engine(url, pool_pre_ping=True)
    tenant = await TenantRepository(owner).create_tenant("acme")
    collector, provider = TraceCollector(), TracerProvider()
    provider.add_span_processor(collector)
    store = Store(TraceRepository(owner), owner, collector, provider, tenant)
    writer = TraceWriter(collector, store.app)
    own_postgres.stop()
    store.ran()
    assert not await writer.flush()
    with pytest.raises(StoreUnavailableError):
        await store.app.get(tenant.tenant_id, "t", "r")
    own_postgres.start()
    assert await writer.flush()
    assert await store.app.get(tenant.tenant_id, "t", "r") is not None
    await writer.aclose()
    provider.shutdown()
    await owner.dispose()


async def test_they_are_stored_by_themselves(store: Store) -> None:
    """Once the writer is started; and what is left, when it is closed."""
    writer = TraceWriter(store.collector, store.app)
    writer.start()
    store.ran("first")
    while await store.app.get(store.tenant.tenant_id, "t", "first") is None:
        pass
    store.ran("last")
    await writer.aclose()
    assert await store.app.get(store.tenant.tenant_id, "t", "last") is not None
