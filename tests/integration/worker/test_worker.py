"""The worker: what it sweeps, and how it starts, waits and ends."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.utils import END
from agentflow_embedded import EmbeddedPostgres
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_worker.retention_sweep import RetentionSweep
from agentflow_worker.sweeper import Sweeper
from tests.support import databases

SCOPES = [Scope(placement=0), Scope(placement=3)]


async def answer(_state: AgentState) -> Message:
    return Message.text_message("answer", role="assistant")


@pytest.fixture
async def checkpointer(migrated_database_url: str, redis_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(migrated_database_url, redis_url, thread_ttl=timedelta(days=1))
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
    yield connection
    await connection.close()


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(migrated_database_url)
    yield engine
    await engine.dispose()


def sweeper(checkpointer: PgCheckpointer, owner: AsyncEngine, retention: timedelta | None = None) -> Sweeper:
    return Sweeper(checkpointer, RetentionSweep(RetentionRepository(owner, retention)), every_s=60)


def graph(checkpointer: PgCheckpointer) -> CompiledGraph[AgentState]:
    return (StateGraph().add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END)).compile(
        checkpointer
    )


async def make(checkpointer: PgCheckpointer, *names: str) -> None:
    app = graph(checkpointer)
    for name in names:
        for scope in SCOPES:
            await app.ainvoke({"messages": "hi"}, {"thread_id": name, "scope": scope})


async def left(checkpointer: PgCheckpointer) -> list[str]:
    found = [info.thread_id for scope in SCOPES for info in await checkpointer.list_threads(scope)]
    return sorted(found)


async def test_expired_threads_go_with_all_below_them(
    checkpointer: PgCheckpointer, database: "asyncpg.Connection[asyncpg.Record]", owner: AsyncEngine
) -> None:
    """In every partition, also past the cache; the others stay whole."""
    await make(checkpointer, "old", "new")
    await database.execute(
        "UPDATE agentflow_threads SET expires_at = now() - interval '1 second' WHERE thread_id = 'old'"
    )
    assert await sweeper(checkpointer, owner).sweep() == 2
    assert await left(checkpointer) == ["new", "new"]
    assert await checkpointer.load(SCOPES[1], "old") is None
    for table, rows in (("agentflow_checkpoints", 4), ("agentflow_messages", 4)):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == rows
    assert await sweeper(checkpointer, owner).sweep() == 0


async def test_retention(
    checkpointer: PgCheckpointer, database: "asyncpg.Connection[asyncpg.Record]", owner: AsyncEngine
) -> None:
    """Threads that did not change for so long, whether they expire or not."""
    await make(checkpointer, "still", "lively")
    await database.execute(
        "UPDATE agentflow_threads SET updated_at = now() - interval '31 days', expires_at = NULL "
        "WHERE thread_id = 'still'"
    )
    assert await sweeper(checkpointer, owner).sweep() == 0
    assert await sweeper(checkpointer, owner, timedelta(days=30)).sweep() == 2
    assert await left(checkpointer) == ["lively", "lively"]


async def test_two_sweepers_share_the_work(
    checkpointer: PgCheckpointer, database: "asyncpg.Connection[asyncpg.Record]", owner: AsyncEngine
) -> None:
    """Each thread is counted once."""
    await make(checkpointer, *(f"t{i}" for i in range(10)))
    await database.execute("UPDATE agentflow_threads SET expires_at = now() - interval '1 second'")
    sweepers = [sweeper(checkpointer, owner) for _ in range(4)]
    assert sum(await asyncio.gather(*(one.sweep() for one in sweepers))) == 20
    assert await left(checkpointer) == []


def start(database_url: str, redis_url: str, **more: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENTFLOW_")} | {
        "AGENTFLOW_OPERATIONS_DATABASE_URL": database_url,
        "AGENTFLOW_REDIS_URL": redis_url,
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "agentflow_worker"], env=environment, stderr=subprocess.PIPE, text=True
    )


def read_until(process: "subprocess.Popen[str]", pattern: str) -> str:
    """Its log up to the line that matches."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(f"the worker ended without {pattern!r}:\n{seen}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_sweeps_and_stops(migrated_database_url: str, redis_url: str, number: int) -> None:
    """By itself, and ends in order when asked: exit code 0, no connection left."""

    async def prepare() -> None:
        checkpointer = PgCheckpointer(migrated_database_url, None, thread_ttl=timedelta(microseconds=1))
        await make(checkpointer, "old")
        await checkpointer.aclose()

    databases.run(prepare())
    process = start(migrated_database_url, redis_url)
    try:
        said = read_until(process, "Deleted 2 expired threads")
        process.send_signal(number)
        rest = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "The worker stopped." in rest
    assert "Traceback" not in said + rest


@pytest.mark.slow
@pytest.mark.own_server
def test_an_outage_is_waited_out(own_postgres: EmbeddedPostgres, redis_url: str) -> None:
    """At the start and later: it says so, without the password, and sweeps when Postgres is back."""
    databases.migrate(own_postgres.url)
    own_postgres.stop()
    process = start(
        own_postgres.url, redis_url, AGENTFLOW_SWEEP_EVERY_S="0.1", AGENTFLOW_RETENTION_DAYS="0.000001"
    )
    try:
        said = read_until(process, "No work yet")
        own_postgres.start()
        said += read_until(process, "The worker runs")
        own_postgres.stop()
        said += read_until(process, "No sweep this time")
        own_postgres.start()

        async def prepare() -> None:
            checkpointer = PgCheckpointer(own_postgres.url, None)
            await make(checkpointer, "old")
            await checkpointer.aclose()

        databases.run(prepare())
        said += read_until(process, "Deleted")
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert own_postgres.home.password() not in said


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AGENTFLOW_OPERATIONS_DATABASE_URL": ""}, "Set AGENTFLOW_OPERATIONS_DATABASE_URL"),
        ({"AGENTFLOW_REDIS_URL": ""}, "Set AGENTFLOW_REDIS_URL"),
        ({"AGENTFLOW_SWEEP_EVERY_S": "often"}, "AGENTFLOW_SWEEP_EVERY_S must be a number"),
        ({"AGENTFLOW_RETENTION_DAYS": "-1"}, "AGENTFLOW_RETENTION_DAYS must be a number"),
        ({"AGENTFLOW_RETENTION_DAYS": "nan"}, "AGENTFLOW_RETENTION_DAYS must be a number"),
        (
            {"AGENTFLOW_OPERATIONS_DATABASE_URL": "mysql://u:secret-word@h/x"},
            "postgresql+asyncpg://user:password@",
        ),
    ],
)
def test_wrong_settings_are_told(environment: dict[str, str], words: str) -> None:
    """By name, with what to write; exit code 1, no trace, no password."""
    given = {
        "AGENTFLOW_OPERATIONS_DATABASE_URL": "postgresql+asyncpg://u:p@127.0.0.1:1/x",
        "AGENTFLOW_REDIS_URL": "none",
    }
    with start("", "", **{**given, **environment}) as process:
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert words in said
    assert "Traceback" not in said
    assert "secret-word" not in said
