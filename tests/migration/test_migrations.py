"""Bringing databases to the newest schema: empty ones, ones the library made, two at once."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.utils import END
from agentflow_tenancy.schema import POOL_PLACEMENTS
from tests.support import databases

SCHEMA = """
SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
) AS of (line) WHERE line NOT LIKE '%alembic%'
"""


def command(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentflow_cloud", "migrate"],
        env={**os.environ, "AGENTFLOW_DATABASE_URL": url}, capture_output=True, text=True, check=False,
    )  # fmt: skip


async def fetchval(url: str, statement: str) -> str:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        value: str = await connection.fetchval(statement)
        return value
    finally:
        await connection.close()


def schema_of(url: str) -> str:
    return databases.run(fetchval(url, SCHEMA))


async def turn(url: str, scope: Scope | None = None, thread_id: str = "t") -> int:
    """One turn of a conversation; how many messages the thread has then."""

    async def answer(state: AgentState) -> Message:
        return Message.text_message(str(len(state.context)), role="assistant")

    checkpointer = PgCheckpointer(url, None)
    graph = StateGraph().add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END)
    app = graph.compile(checkpointer)
    await app.ainvoke({"messages": "hi"}, {"thread_id": thread_id, "scope": scope or Scope()})
    state = await app.aget_state({"thread_id": thread_id, "scope": scope or Scope()})
    await app.aclose()
    assert state is not None
    return len(state.context)


def test_the_command_migrates_once_and_again(database_url: str) -> None:
    """The second time there is nothing to do."""
    for _ in range(2):
        done = command(database_url)
        assert (done.returncode, done.stderr) == (0, "")


def test_two_migrators_at_once(database_url: str, migrated_database_url: str) -> None:
    """Both succeed, one does the work, and the result is the same as from one."""
    with ThreadPoolExecutor(3) as pool:
        assert [done.returncode for done in pool.map(command, [database_url] * 3)] == [0, 0, 0]
    assert schema_of(database_url) == schema_of(migrated_database_url)


async def test_a_database_of_the_library_is_adopted(database_url: str, migrated_database_url: str) -> None:
    """First use first, migrations later: threads stay, and the schema is the same as the other way round."""
    assert await turn(database_url) == 2
    assert (await asyncio.to_thread(command, database_url)).returncode == 0
    assert await turn(database_url) == 4
    assert schema_of(database_url) == schema_of(migrated_database_url)


async def test_the_library_adopts_a_migrated_database(migrated_database_url: str) -> None:
    """It finds the schema up to date, for itself and for every pool partition."""
    before = schema_of(migrated_database_url)
    assert await turn(migrated_database_url) == 2
    for placement in POOL_PLACEMENTS:
        assert await turn(migrated_database_url, Scope(placement=placement)) == 2
    assert schema_of(migrated_database_url) == before


async def test_first_use_and_migration_at_once(database_url: str, migrated_database_url: str) -> None:
    """Neither disturbs the other."""
    done, first, second = await asyncio.gather(
        asyncio.to_thread(command, database_url), turn(database_url), turn(database_url, thread_id="u")
    )
    assert done.returncode == 0, done.stderr
    assert (first, second) == (2, 2)
    assert schema_of(database_url) == schema_of(migrated_database_url)


async def test_a_locked_table_does_not_queue_everybody(database_url: str) -> None:
    """A migration gives up on a table it cannot have, says so, and leaves nothing half done."""
    await turn(database_url)
    holder = await asyncpg.connect(database_url.replace("+asyncpg", "", 1))
    async with holder.transaction():
        await holder.execute("LOCK TABLE agentflow_threads IN ACCESS EXCLUSIVE MODE")
        done = await asyncio.to_thread(command, database_url)
    await holder.close()
    assert done.returncode == 1
    assert "LockNotAvailable" in done.stderr
    assert "Traceback" not in done.stderr
    assert await fetchval(database_url, "SELECT to_regclass('agentflow_tenants')::text") is None
    assert (await asyncio.to_thread(command, database_url)).returncode == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+asyncpg://agentflow:secret-word@127.0.0.1:1/x", "did not answer"),
        ("mysql://agentflow:secret-word@127.0.0.1/x", "postgresql+asyncpg://user:password@"),
        ("secret-word", "is not a URL"),
    ],
)
def test_what_is_wrong_is_said(url: str, words: str) -> None:
    """In a line, without a trace and without the password."""
    done = command(url)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret-word" not in done.stderr
