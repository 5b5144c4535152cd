"""What tenants used: counted in the transaction of the work, exact over deletions, packing and roll-ups."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.core.state.message import TokenUsages
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.utils import END
from agentflow_tenancy.usage_repository import Usage, UsageRepository

SPENT = TokenUsages(prompt_tokens=30, completion_tokens=12, total_tokens=42)
FOREVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


async def answer(state: AgentState) -> Message:
    return Message.text_message("answer", "assistant").model_copy(update={"usages": SPENT})


async def reword(state: AgentState) -> Message:
    """The same message in other words, as the model's tokens stand beside it still."""
    return state.context[-1].model_copy(update={"raw": {"nul": "\0", "usages": {"prompt_tokens": 7}}})


def graph(checkpointer: PgCheckpointer) -> CompiledGraph[Any]:
    made = StateGraph().add_node("ANSWER", answer).add_node("REWORD", reword)
    made.set_entry_point("ANSWER").add_edge("ANSWER", "REWORD").add_edge("REWORD", END)
    return made.compile(checkpointer)


@pytest.fixture
async def engine(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def checkpointer(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(migrated_database_url, redis_url=None, pool_size=4)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
def usage(engine: AsyncEngine) -> UsageRepository:
    return UsageRepository(engine)


@pytest.fixture
async def rows(migrated_database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
    yield connection
    await connection.close()


def scope(placement: int = 1) -> Scope:
    return Scope(tenant_id=uuid.uuid4(), placement=placement)


async def total(usage: UsageRepository, tenant: Scope) -> Usage:
    buckets = await usage.of_tenant(tenant.tenant_id, *FOREVER, "hour")
    assert len(buckets) <= 2  # the hour may end in the middle of a test
    whole = Usage()
    for _, bucket in buckets:
        whole = Usage(*(getattr(whole, name) + getattr(bucket, name) for name in Usage.__dataclass_fields__))
    return whole


async def kept_bytes(rows: "asyncpg.Connection[asyncpg.Record]", tenant: Scope) -> int:
    found: int = await rows.fetchval(
        "SELECT coalesce((SELECT sum(octet_length(delta) + coalesce(octet_length(archive), 0))"
        " FROM agentflow_checkpoints WHERE tenant_id = $1), 0)"
        " + coalesce((SELECT sum(octet_length(content) + coalesce(octet_length(extra), 0))"
        " FROM agentflow_messages WHERE tenant_id = $1), 0)",
        tenant.tenant_id,
    )
    return found


async def test_a_run_is_counted(
    checkpointer: PgCheckpointer, usage: UsageRepository, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Its start, checkpoints, thread and bytes; tokens of an edited message once, of an input never."""
    tenant = scope()
    app = graph(checkpointer)
    claimed = Message.text_message("hello").model_copy(update={"usages": SPENT})
    for _ in range(2):
        await app.ainvoke({"messages": [claimed]}, {"thread_id": "t", "scope": tenant})
    found = await total(usage, tenant)
    assert (found.runs, found.checkpoints, found.threads) == (2, 6, 1)
    assert (found.tokens_in, found.tokens_out) == (60, 24)
    assert found.stored_bytes == await kept_bytes(rows, tenant)
    used = await usage.used(tenant.tenant_id)
    assert (used.threads, used.stored_bytes, used.tokens, used.checkpoints) == (
        1,
        found.stored_bytes,
        84,
        6,
    )


async def test_what_goes_is_taken_off(
    checkpointer: PgCheckpointer, usage: UsageRepository, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Threads and bytes by packing, pruning and deleting; the work that was done stays counted."""
    tenant = scope()
    app = graph(checkpointer)
    for _ in range(4):
        await app.ainvoke({"messages": "hello"}, {"thread_id": "t", "scope": tenant})
    before = await total(usage, tenant)
    await checkpointer.pack_idle(idle_for=timedelta(0))
    packed = await total(usage, tenant)
    assert packed.stored_bytes == await kept_bytes(rows, tenant)
    assert packed.checkpoints == before.checkpoints == 12
    await checkpointer.prune(keep_last=2, idle_for=timedelta(0))
    assert (await total(usage, tenant)).stored_bytes == await kept_bytes(rows, tenant)
    assert await checkpointer.delete_thread(tenant, "t")
    gone = await total(usage, tenant)
    assert (gone.threads, gone.stored_bytes, gone.checkpoints, gone.tokens_in) == (0, 0, 12, 120)


async def test_many_at_once_with_refusals(
    checkpointer: PgCheckpointer, usage: UsageRepository, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """What is counted is what is stored, of each tenant, whoever shared a commit with whom."""
    tenants = [scope(placement) for placement in (1, 1, 2, 3)]
    app = graph(checkpointer)

    async def run(number: int) -> None:
        await app.ainvoke(
            {"messages": "hello"},
            {"thread_id": f"t{number % 5}", "scope": tenants[number % 4], "when_busy": "reject"},
        )

    await asyncio.gather(*(run(number) for number in range(80)), return_exceptions=True)
    for tenant in tenants:
        found = await total(usage, tenant)
        stored = await rows.fetchrow(
            "SELECT count(*) AS checkpoints, count(*) FILTER (WHERE source = 'input') AS runs,"
            " count(DISTINCT thread_no) AS threads FROM agentflow_checkpoints WHERE tenant_id = $1",
            tenant.tenant_id,
        )
        assert stored is not None
        assert stored["runs"] > 0
        assert (found.checkpoints, found.runs, found.threads) == (
            stored["checkpoints"],
            stored["runs"],
            stored["threads"],
        )
        assert found.stored_bytes == await kept_bytes(rows, tenant)


async def test_rolling_up_changes_no_sum(
    checkpointer: PgCheckpointer, usage: UsageRepository, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """By many at once, in small batches, while runs go on; then nothing is left to do."""
    tenant = scope()
    app = graph(checkpointer)

    async def work(name: str) -> None:
        for _ in range(5):
            await app.ainvoke({"messages": "hello"}, {"thread_id": name, "scope": tenant})

    async def roll() -> int:
        return sum([await usage.roll_up(batch=7) for _ in range(10)])

    await asyncio.gather(work("a"), work("b"), roll(), work("c"), roll())
    await usage.roll_up()
    assert await rows.fetchval("SELECT count(*) FROM agentflow_usage_events") == 0
    assert await usage.roll_up() == 0
    found = await total(usage, tenant)
    assert (found.runs, found.checkpoints, found.threads, found.tokens_in) == (15, 45, 3, 450)
    assert found.stored_bytes == await kept_bytes(rows, tenant)


async def test_rows_that_move_are_not_counted(
    checkpointer: PgCheckpointer, usage: UsageRepository, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Who moves them says so for its transaction."""
    tenant = scope()
    await graph(checkpointer).ainvoke({"messages": "hello"}, {"thread_id": "t", "scope": tenant})
    before = await total(usage, tenant)
    async with rows.transaction():
        await rows.execute("SET LOCAL agentflow.uncounted = 'on'")
        for table in ("checkpoints", "messages", "threads"):
            await rows.execute(
                f"UPDATE agentflow_{table} SET placement = 2 WHERE tenant_id = $1", tenant.tenant_id
            )
    assert await total(usage, tenant) == before
    moved = Scope(tenant_id=tenant.tenant_id, placement=2)
    assert await checkpointer.delete_thread(moved, "t")
    assert (await total(usage, moved)).threads == 0


async def test_days_and_hours(usage: UsageRepository, rows: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Of UTC, before and after they are rolled up; the end does not belong."""
    tenant = scope()
    noon = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    for hours in (0, 1, 13, 40):
        await rows.execute(
            "INSERT INTO agentflow_usage_events (tenant_id, event_id, at, runs) VALUES ($1, $2, $3, 1)",
            tenant.tenant_id,
            uuid.uuid4(),
            noon + timedelta(hours=hours),
        )
    days = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC))
    for _ in range(2):
        by_hour = await usage.of_tenant(tenant.tenant_id, *days, "hour")
        assert [(start.hour, bucket.runs) for start, bucket in by_hour] == [(12, 1), (13, 1), (1, 1)]
        by_day = await usage.of_tenant(tenant.tenant_id, *days, "day")
        assert [(start.day, bucket.runs) for start, bucket in by_day] == [(1, 2), (2, 1)]
        await usage.roll_up()


async def test_copies_are_counted_for_themselves(
    checkpointer: PgCheckpointer, usage: UsageRepository, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A copied thread's checkpoints keep their ids: they are further ones all the same."""
    tenant = scope()
    await graph(checkpointer).ainvoke({"messages": "hello"}, {"thread_id": "t", "scope": tenant})
    copied = await rows.execute(
        "INSERT INTO agentflow_checkpoints (thread_no, placement, seq, step, is_full, checkpoint_id,"
        " tenant_id,"
        " source, node, run_id, delta) SELECT thread_no + 1000000, placement, seq, step, is_full,"
        " checkpoint_id,"
        " tenant_id, source, node, run_id, delta FROM agentflow_checkpoints WHERE tenant_id = $1",
        tenant.tenant_id,
    )
    assert copied == "INSERT 0 3"
    assert (await total(usage, tenant)).checkpoints == 6


async def test_a_copy_is_one_thread(
    checkpointer: PgCheckpointer, usage: UsageRepository, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Also of a thread that was packed and went on, whose checkpoints stand under two numbers."""
    tenant = scope()
    app = graph(checkpointer)
    for _ in range(2):
        await app.ainvoke({"messages": "hello"}, {"thread_id": "t", "scope": tenant})
    await checkpointer.pack_idle(idle_for=timedelta(0))
    await app.ainvoke({"messages": "more"}, {"thread_id": "t", "scope": tenant})
    await checkpointer.copy_thread(tenant, "t", "copy")
    found = await total(usage, tenant)
    assert (found.threads, found.checkpoints, found.stored_bytes) == (2, 9, await kept_bytes(rows, tenant))
    for thread_id in ("t", "copy"):
        await checkpointer.delete_thread(tenant, thread_id)
    gone = await total(usage, tenant)
    assert (gone.threads, gone.stored_bytes) == (0, 0)
