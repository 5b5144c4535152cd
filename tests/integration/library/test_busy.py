"""A thread that another run holds: wait, be refused, have the other stopped, or stopped and undone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.errors import (
    ConflictError,
    InvalidInputError,
    LeaseLostError,
    StaleCheckpointError,
    ThreadBusyError,
)
from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer, Scope
from agentflow.utils import END

T = {"thread_id": "t"}


class Gate:
    """Where a node of the first run waits."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    def node(self, name: str) -> Callable[[AgentState], Any]:
        async def work(state: AgentState) -> Message:
            if state.context[-1].text() == "slow":
                self.reached.set()
                await self.opened.wait()
            return Message.text_message(name, role="assistant")

        return work

    def app(self, checkpointer: BaseCheckpointer) -> CompiledGraph[AgentState]:
        graph = StateGraph().add_node("A", self.node("a")).add_node("B", self.node("b"))
        return graph.set_entry_point("A").add_edge("A", "B").add_edge("B", END).compile(checkpointer)


class Asked:
    """Tells when somebody was asked to stop."""

    def __init__(self, store: BaseCheckpointer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.event = asyncio.Event()
        self._ask = store.request_stop
        monkeypatch.setattr(store, "request_stop", self)

    async def __call__(self, *args: Any) -> bool:
        found = await self._ask(*args)
        self.event.set()
        return found


@pytest.fixture(params=["memory", "postgres and redis"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[tuple[BaseCheckpointer, BaseCheckpointer]]:
    """Two that share their threads, as two processes do; in memory it is one."""
    if request.param == "memory":
        one: BaseCheckpointer = InMemoryCheckpointer()
        yield one, one
        return
    urls = request.getfixturevalue("database_url"), request.getfixturevalue("redis_url")
    pair = PgCheckpointer(*urls), PgCheckpointer(*urls)
    yield pair
    for store in pair:
        await store.aclose()


async def begin(gate: Gate, app: CompiledGraph[AgentState]) -> asyncio.Task[dict[str, Any]]:
    """A run that hangs in its first node, on a thread that has had a turn."""
    await app.ainvoke({"messages": "first"}, T)
    run = asyncio.create_task(app.ainvoke({"messages": "slow"}, T))
    await gate.reached.wait()
    return run


async def texts(app: CompiledGraph[AgentState]) -> list[str]:
    state = await app.aget_state(T)
    assert state is not None
    return [message.text() for message in state.context]


async def test_enqueue_waits(stores: tuple[BaseCheckpointer, BaseCheckpointer]) -> None:
    """The default: both turns are there, one after the other."""
    gate = Gate()
    one, other = map(gate.app, stores)
    run = await begin(gate, one)
    waiter = asyncio.create_task(other.ainvoke({"messages": "second"}, T))
    gate.opened.set()
    assert (await run)["meta"]["status"] == (await waiter)["meta"]["status"] == "completed"
    assert await texts(one) == ["first", "a", "b", "slow", "a", "b", "second", "a", "b"]


async def test_reject_tells_at_once(stores: tuple[BaseCheckpointer, BaseCheckpointer]) -> None:
    """And leaves the run that holds the thread alone."""
    gate = Gate()
    one, other = map(gate.app, stores)
    run = await begin(gate, one)
    with pytest.raises(ThreadBusyError):
        await other.ainvoke({"messages": "second"}, T | {"when_busy": "reject", "lock_wait": 60})
    gate.opened.set()
    assert (await run)["meta"]["status"] == "completed"
    answer = await other.ainvoke({"messages": "third"}, T | {"when_busy": "reject"})
    assert answer["meta"]["status"] == "completed"
    assert "second" not in await texts(one)


@pytest.mark.parametrize("when_busy", ["interrupt", "rollback"])
async def test_the_run_in_the_way_is_stopped(
    stores: tuple[BaseCheckpointer, BaseCheckpointer], when_busy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its next boundary, and its caller is told; what it did is kept, or undone by a new version."""
    gate = Gate()
    one, other = map(gate.app, stores)
    run = await begin(gate, one)
    before = await one.aget_state(T, checkpoint=3)
    asked = Asked(stores[1], monkeypatch)
    waiter = asyncio.create_task(other.ainvoke({"messages": "second"}, T | {"when_busy": when_busy}))
    await asked.event.wait()
    gate.opened.set()
    stopped, answer = await run, await waiter
    assert (stopped["meta"]["status"], stopped["meta"]["interrupt_reason"]) == (
        "interrupted_after",
        "stop_requested",
    )
    assert answer["meta"]["status"] == "completed"
    assert [message.text() for message in answer["messages"]] == ["second", "a", "b"]
    history = list(await other.ahistory(T))[::-1]
    assert [entry.seq for entry in history] == list(range(1, len(history) + 1))
    if when_busy == "interrupt":
        assert await texts(one) == ["first", "a", "b", "slow", "a", "second", "a", "b"]
        return
    assert await texts(one) == ["first", "a", "b", "second", "a", "b"]
    [undone] = [entry for entry in history if entry.source == "rollback"]
    assert (undone.parent, undone.node) == (3, "")
    assert await one.aget_state(T, checkpoint=undone.seq) == before
    assert (await one.aget_state(T, checkpoint=undone.seq - 1)) != before, "history keeps what was undone"


async def test_rollback_of_the_run_that_made_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left but its history: the next run finds a new thread's state."""
    gate, store = Gate(), InMemoryCheckpointer()
    app, asked = gate.app(store), Asked(store, monkeypatch)
    run = asyncio.create_task(app.ainvoke({"messages": "slow"}, T))
    await gate.reached.wait()
    waiter = asyncio.create_task(app.ainvoke({"messages": "second"}, T | {"when_busy": "rollback"}))
    await asked.event.wait()
    gate.opened.set()
    await run
    await waiter
    assert await texts(app) == ["second", "a", "b"]


async def test_rollback_leaves_what_ended(stores: tuple[BaseCheckpointer, BaseCheckpointer]) -> None:
    """A turn that completed, or a pause from before, is nobody's to undo."""
    gate = Gate()
    app = gate.app(stores[0])
    await app.ainvoke({"messages": "first"}, T)
    await app.ainvoke({"messages": "second"}, T | {"when_busy": "rollback"})
    assert await texts(app) == ["first", "a", "b", "second", "a", "b"]


async def test_rollback_undoes_a_run_whose_process_died(
    stores: tuple[BaseCheckpointer, BaseCheckpointer],
) -> None:
    """It still says that it runs, and holds nothing."""
    gate = Gate()
    one, other = map(gate.app, stores)
    run = await begin(gate, one)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await other.ainvoke({"messages": "second"}, T | {"when_busy": "rollback"})
    assert await texts(one) == ["first", "a", "b", "second", "a", "b"]


@pytest.mark.parametrize("when_busy", ["enqueue", "reject", "interrupt", "rollback"])
async def test_without_redis_the_head_decides(database_url: str, when_busy: str) -> None:
    """Two processes do not see each other: the later run goes, the other's next write is refused."""
    gate = Gate()
    pair = PgCheckpointer(database_url, None), PgCheckpointer(database_url, None)
    one, other = map(gate.app, pair)
    run = await begin(gate, one)
    answer = await other.ainvoke({"messages": "second"}, T | {"when_busy": when_busy})
    assert answer["meta"]["status"] == "completed"
    gate.opened.set()
    with pytest.raises(StaleCheckpointError):
        await run
    kept = [] if when_busy == "rollback" else ["slow"]
    assert await texts(other) == ["first", "a", "b", *kept, "second", "a", "b"]
    for store in pair:
        await store.aclose()


async def test_a_lost_lease_ends_the_node_that_runs(database_url: str, redis_url: str) -> None:
    """Its caller gets a `LeaseLostError` while the node hangs; the thread is the other run's."""
    gate = Gate()
    pair = [PgCheckpointer(database_url, redis_url, lease_s=0.3) for _ in range(2)]
    one, other = map(gate.app, pair)
    await one.ainvoke({"messages": "first"}, T)
    async with Redis.from_url(redis_url) as redis:
        cache = (await pair[0].backend())._cache
        assert cache is not None
        lock = cache.keys(Scope(), "t").lock
        run = asyncio.create_task(one.ainvoke({"messages": "slow"}, T))
        await gate.reached.wait()
        # As if the process had been stopped for longer than its lease, and another run had come.
        await redis.set(lock, "another", px=60_000)
        with pytest.raises(LeaseLostError):
            await run
        assert issubclass(LeaseLostError, ConflictError)
        await redis.delete(lock)
    assert (await other.ainvoke({"messages": "second"}, T))["meta"]["status"] == "completed"
    for store in pair:
        await store.aclose()


async def test_an_unknown_strategy_is_refused() -> None:
    """By name, before anything runs."""
    with pytest.raises(InvalidInputError, match="when_busy.*enqueue, reject, interrupt, rollback"):
        await Gate().app(InMemoryCheckpointer()).ainvoke({"messages": "x"}, T | {"when_busy": "wait"})
