"""The library as programs use it: loops, threads, engines, extras, bad settings."""

import asyncio
import gc
import subprocess
import sys
import threading
import warnings

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.errors import (
    ConfigurationError,
    InvalidIdError,
    StateEncodingError,
    StoreUnavailableError,
    SyncInAsyncError,
    TooLargeError,
)
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.utils import END

T = {"thread_id": "t"}


def app_on(checkpointer: PgCheckpointer) -> CompiledGraph[AgentState]:
    graph = StateGraph().add_node("MAIN", lambda state: "ok").set_entry_point("MAIN").add_edge("MAIN", END)
    return graph.compile(checkpointer)


def hello(text: str = "hello") -> dict[str, list[Message]]:
    return {"messages": [Message.text_message(text)]}


async def connections(database_url: str) -> int:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return found
    finally:
        await connection.close()


@pytest.mark.slow
def test_a_thousand_blocking_invokes_leak_nothing(database_url: str, redis_url: str) -> None:
    """One loop, one thread beside the node pool, a bounded number of connections; every message is there."""
    app = app_on(PgCheckpointer(database_url, redis_url=redis_url))
    app.invoke(hello(), T)
    threads = threading.active_count()
    for i in range(1000):
        app.invoke(hello(str(i)), {"thread_id": f"t{i % 50}"})
    assert [thread.name for thread in threading.enumerate()].count("agentflow-loop") == 1
    assert threading.active_count() <= threads + 64
    assert asyncio.run(connections(database_url)) <= 30
    state = app.get_state({"thread_id": "t7"})
    assert state is not None
    assert len(state.context) == 40
    app.close()


def test_blocking_invokes_from_many_threads(database_url: str, redis_url: str) -> None:
    """Threads of a running program share the one loop; runs of one thread id never interleave."""
    app = app_on(PgCheckpointer(database_url, redis_url=redis_url))
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for i in range(5):
                app.invoke(hello(f"{number}-{i}"), T)
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    state = app.get_state(T)
    assert state is not None
    assert [message.role for message in state.context] == ["user", "assistant"] * 40
    app.close()


def test_several_loops_one_checkpointer(database_url: str, redis_url: str) -> None:
    """asyncio.run again and again, blocking calls in between: no crossed loops, nothing left open."""
    app = app_on(PgCheckpointer(database_url, redis_url=redis_url))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(3):
            asyncio.run(app.ainvoke(hello(f"async {i}"), T))
            app.invoke(hello(f"blocking {i}"), T)
        gc.collect()
    state = app.get_state(T)
    assert state is not None
    assert len(state.context) == 12
    app.close()


async def test_the_guides_engine(database_url: str, redis_url: str) -> None:
    """A shared pool with the guide's settings; it stays the program's own."""
    engine = create_async_engine(
        database_url, pool_size=20, max_overflow=10, pool_pre_ping=True, pool_recycle=600
    )
    checkpointer = PgCheckpointer.from_engine(engine, redis_url=redis_url)
    app = app_on(checkpointer)
    await asyncio.gather(*(app.ainvoke(hello(), {"thread_id": f"t{i}"}) for i in range(60)))
    await app.aclose()
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql("SELECT count(*) FROM agentflow_threads")
        assert found.scalar_one() == 60
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await engine.dispose()


async def test_graphs_with_different_checkpointers_in_one_process(
    database_url: str, migrated_database_url: str, redis_url: str
) -> None:
    """Two databases behind one Redis never mix."""
    one = app_on(PgCheckpointer(database_url, redis_url=redis_url))
    two = app_on(PgCheckpointer(migrated_database_url, redis_url=redis_url))
    for _ in range(3):
        await asyncio.gather(one.ainvoke(hello("one"), T), two.ainvoke(hello("two"), T))
    for app, text in ((one, "one"), (two, "two")):
        state = await app.aget_state(T)
        assert state is not None
        assert {message.text() for message in state.context} == {text, "ok"}
        await app.aclose()


async def test_running_loop(database_url: str) -> None:
    """A blocking call in a running loop names the async one."""
    app = app_on(PgCheckpointer(database_url, redis_url=None))
    with pytest.raises(SyncInAsyncError, match="ainvoke"):
        app.invoke(hello(), T)


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "sqlite:///x", "localhost:5432", "", "postgresql+psycopg://localhost/x"]
)
def test_a_wrong_database_url(url: str) -> None:
    """The error says what to write."""
    with pytest.raises(ConfigurationError, match="postgresql\\+asyncpg://"):
        PgCheckpointer(url, redis_url=None)


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", ""])
def test_a_wrong_redis_url(url: str) -> None:
    """Likewise."""
    with pytest.raises(ConfigurationError, match="redis://"):
        PgCheckpointer("postgresql+asyncpg://localhost/x", redis_url=url)


def test_redis_is_required_by_signature() -> None:
    """Running without is a choice, not a default."""
    with pytest.raises(TypeError, match="redis_url"):
        PgCheckpointer("postgresql+asyncpg://localhost/x")  # type: ignore[call-arg]


async def test_postgres_not_reachable() -> None:
    """Typed, within its time, and the password is not shown."""
    url = "postgresql+asyncpg://agentflow:hunter2@127.0.0.1:1/agentflow"
    app = app_on(PgCheckpointer(url, redis_url=None, retry_s=0.2))
    with pytest.raises(StoreUnavailableError, match="Postgres") as caught:
        await app.ainvoke(hello(), T)
    assert "hunter2" not in str(caught.value)
    await app.aclose()


async def test_what_cannot_be_stored_leaves_the_checkpoint_before(database_url: str, redis_url: str) -> None:
    """Too large, not data, an id with NUL: typed errors, and the thread is as it was."""
    app = app_on(PgCheckpointer(database_url, redis_url=redis_url))
    await app.ainvoke(hello(), T)
    before = await app.aget_state(T)
    with pytest.raises(TooLargeError):
        await app.ainvoke(hello("x" * 1_100_000), T)
    bad = Message.text_message("x").model_copy(update={"metadata": {"x": float("nan")}})
    with pytest.raises(StateEncodingError):
        await app.ainvoke({"messages": [bad]}, T)
    with pytest.raises(InvalidIdError):
        await app.ainvoke(hello(), {"thread_id": "a\0b"})
    assert await app.aget_state(T) == before
    await app.aclose()


@pytest.mark.parametrize("missing", ["asyncpg", "sqlalchemy"])
def test_a_missing_extra_is_named(missing: str) -> None:
    """An ImportError that says what to install; the rest of the library works without."""
    program = f"""
import sys
sys.modules[{missing!r}] = None
from agentflow.storage.checkpointer import InMemoryCheckpointer
try:
    from agentflow.storage.checkpointer import PgCheckpointer
    PgCheckpointer("postgresql+asyncpg://localhost/x", redis_url=None)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "agentflow[postgres,redis]"' in done.stdout


def test_importing_needs_no_extra() -> None:
    """`import agentflow` and the graph load no driver."""
    program = (
        "import sys, agentflow, agentflow.core.graph, agentflow.storage.checkpointer;"
        "print([m for m in ('sqlalchemy', 'asyncpg', 'redis', 'openai') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.leaves_connections
def test_a_killed_run_goes_on_in_another_process(database_url: str, redis_url: str) -> None:
    """A process that dies in a node: the next one waits for its lease at most, then goes on from there."""
    program = f"""
import os, asyncio
from agentflow.core.graph import StateGraph
from agentflow.core.state import Message
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.utils import END
graph = StateGraph().add_node("A", lambda state: "from A")
graph.add_node("B", lambda state: os.kill(os.getpid(), 9))
graph.set_entry_point("A").add_edge("A", "B").add_edge("B", END)
app = graph.compile(PgCheckpointer({database_url!r}, {redis_url!r}, lease_s=0.5))
app.invoke({{"messages": [Message.text_message("hello")]}}, {{"thread_id": "t"}})
"""
    died = subprocess.run([sys.executable, "-c", program], check=False)
    assert died.returncode == -9
    graph = StateGraph().add_node("A", lambda state: "A again?").add_node("B", lambda state: "from B")
    graph.set_entry_point("A").add_edge("A", "B").add_edge("B", END)
    app = graph.compile(PgCheckpointer(database_url, redis_url, lease_s=0.5))
    result = app.invoke(None, T, response_granularity="partial")
    assert [message.text() for message in result["context"]] == ["hello", "from A", "from B"]
    app.close()
