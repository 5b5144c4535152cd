"""What storage tells: whose rows, how many bytes, how a lock was got, whether a cache had it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.errors import ThreadBusyError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.utils import END
from agentflow.utils import span_names as names
from tests.support.telling import Told, telling


async def answer(_state: AgentState) -> Message:
    return Message.text_message("secret", role="assistant")


def app_on(checkpointer: PgCheckpointer) -> CompiledGraph[AgentState]:
    graph = StateGraph().add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END)
    return graph.compile(checkpointer)


@pytest.fixture
async def stores(database_url: str, redis_url: str) -> AsyncIterator[list[PgCheckpointer]]:
    """Two as two processes have them."""
    found = [PgCheckpointer(database_url, redis_url, cache_bytes=cache) for cache in (2**20, 0)]
    await found[0].asetup()
    yield found
    for store in found:
        await store.aclose()


@pytest.fixture
def given() -> dict[str, Any]:
    return {"thread_id": "secret-thread", "scope": Scope(uuid.uuid4())}


async def test_a_turn_tells_of_its_lock_reads_and_writes(
    stores: list[PgCheckpointer], given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them of the tenant, below the run; no statement is told where nothing is exported."""
    with telling(monkeypatch) as told:
        await app_on(stores[0]).ainvoke({"messages": "hi"}, given)
    assert [span.name for span in told.spans] == [
        "thread.lock.acquire", "checkpoint.get", "checkpoint.put", "node MAIN", "checkpoint.put",
        "invoke_agent",
    ]  # fmt: skip
    run = told.spans[-1]
    for span in told.spans[:3]:
        said: Any = span.attributes
        assert span.parent == run.context
        assert (said[names.TENANT], said[names.PLACEMENT]) == (str(given["scope"].tenant_id), "pool")
    assert told.said("thread.lock.acquire", names.LOCK) == ["acquired"]
    assert told.said("checkpoint.get", names.CACHE) == ["miss"]
    assert all(isinstance(size, int) and size > 100 for size in told.said("checkpoint.put", names.BYTES))
    assert not any("secret" in span.to_json() for span in told.spans if span is not run)


async def test_where_a_state_came_from(
    stores: list[PgCheckpointer], given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory or Redis it is a hit; one that somebody else outdated is stale, and read anew."""
    first, second = map(app_on, stores)
    await first.ainvoke({"messages": "hi"}, given)
    with telling(monkeypatch) as told:
        await first.ainvoke({"messages": "hi"}, given)
        await second.ainvoke({"messages": "hi"}, given)
        await stores[0].load(given["scope"], "secret-thread")
        await stores[0].load(given["scope"], "secret-thread")
        await stores[0].list_messages(given["scope"], "secret-thread")
    assert told.said("checkpoint.get", names.CACHE) == ["hit", "hit", "stale", "hit", "hit"]


async def test_without_redis_there_is_no_cache(
    database_url: str, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no miss."""
    store = PgCheckpointer(database_url, None, cache_bytes=0)
    with telling(monkeypatch) as told:
        await app_on(store).ainvoke({"messages": "hi"}, given)
    await store.aclose()
    assert told.said("checkpoint.get", names.CACHE) == ["off"]


@pytest.mark.parametrize(("wait_s", "outcome"), [(0.0, "busy"), (0.05, "timeout")])
@pytest.mark.parametrize("holder", [0, 1])
async def test_a_thread_that_is_held(
    stores: list[PgCheckpointer],
    given: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    holder: int,
    wait_s: float,
    outcome: str,
) -> None:
    """Whoever asks at once finds it busy, whoever waited ran out of time: in this process or in another."""
    async with stores[holder].session(given["scope"], "secret-thread"):
        with telling(monkeypatch) as told, pytest.raises(ThreadBusyError):
            async with stores[0].session(given["scope"], "secret-thread", wait_s=wait_s):
                pass
    assert told.said("thread.lock.acquire", names.LOCK) == [outcome]
    assert told.said("thread.lock.acquire", names.ERROR) == [ThreadBusyError.code]


async def test_looks_over_threads_and_versions(
    stores: list[PgCheckpointer], given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are lists; one thread, at any version, is a get."""
    store, scope = stores[0], given["scope"]
    await app_on(store).ainvoke({"messages": "hi"}, given)
    with telling(monkeypatch) as told:
        await store.history(scope, "secret-thread")
        await store.list_threads(scope)
        await store.load_at(scope, "secret-thread", 1)
        await store.get_thread(scope, "secret-thread")
    assert [span.name for span in told.spans] == ["checkpoint.list"] * 2 + ["checkpoint.get"] * 2


async def test_statements_of_a_trace_that_is_exported(
    stores: list[PgCheckpointer], given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below what they are for, in both databases, with no word of what they carry."""
    with telling(monkeypatch, sampled=True) as told:
        await app_on(stores[0]).ainvoke({"messages": "hi"}, given)
    by_id = {span.context.span_id: span for span in told.spans}
    clients = [
        (span.name, by_id[span.parent.span_id].name, (span.attributes or {})[names.DB_SYSTEM])
        for span in told.spans
        if span.parent is not None and names.DB_SYSTEM in (span.attributes or {})
    ]
    assert ("EVALSHA", "thread.lock.acquire", "redis") in clients
    assert ("INSERT agentflow_threads", "checkpoint.put", "postgresql") in clients
    assert any(above == "checkpoint.get" for _, above, _ in clients)
    assert not any("secret" in span.to_json() for span in told.spans if span.name != "invoke_agent")


async def test_writes_that_share_a_statement(
    stores: list[PgCheckpointer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once, with how many they are, in the trace of one; each tells of its own checkpoint."""
    app, scope = app_on(stores[0]), Scope(uuid.uuid4())
    with telling(monkeypatch, sampled=True) as told:
        runs = (app.ainvoke({"messages": "hi"}, {"thread_id": str(n), "scope": scope}) for n in range(24))
        await asyncio.gather(*runs)
    assert len(told.named("checkpoint.put")) == 48
    shared = [span for span in told.spans if names.DB_BATCH in (span.attributes or {})]
    puts = {span.context.span_id for span in told.named("checkpoint.put")}
    assert shared
    assert all(span.parent is not None and span.parent.span_id in puts for span in shared)
    assert _largest(told) > 1


def _largest(told: Told) -> int:
    sizes = [(span.attributes or {}).get(names.DB_BATCH, 1) for span in told.spans]
    return max(size for size in sizes if isinstance(size, int))
