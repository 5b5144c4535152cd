"""What runs did, in Postgres: added up, bounded, seen by their tenant alone, and forgotten."""

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
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
        ids = {names.TENANT: str(tenant_id or self.tenant.tenant_id), names.THREAD: "t", names.RUN: run_id}
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


async def test_old_ones_are_forgotten(store: Store) -> None:
    """Those that ended so long ago, whatever their number."""
    repository = TraceRepository(store.owner)
    for number in range(7):
        store.ran(str(number))
    await store.keep()
    assert await repository.forget_old(3600, batch=2) == 0
    assert await repository.forget_old(0, batch=2) == 7


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
