"""Row level security: what a login that does not own the tables is shown, by this library and by hand."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.errors import StaleCheckpointError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.queries import QUERIES, behind_tenants, located, only_reads, shows_tenants
from agentflow.storage.checkpointer.testing.case import (
    Thread,
    contents,
    message,
    new_scope,
    raised,
    write_after,
)
from tests.support import databases
from tests.support.plans import PLANS

TABLES = ["threads", "checkpoints", "messages", "tool_calls", "writes"]
type Connection = asyncpg.Connection[asyncpg.Record]


@pytest.fixture
async def app(migrated_database_url: str) -> AsyncIterator[PgCheckpointer]:
    checkpointer = PgCheckpointer(databases.app_url(migrated_database_url), None)
    yield checkpointer
    await checkpointer.aclose()


@pytest.fixture
async def by_hand(migrated_database_url: str) -> AsyncIterator[Connection]:
    """The service's login, without the library."""
    url = databases.app_url(migrated_database_url).replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


def scope_in(placement: int = 3) -> Scope:
    return replace(new_scope(), placement=placement)


async def test_without_a_tenant_nothing_is_shown(app: PgCheckpointer, by_hand: Connection) -> None:
    """Neither before nor after a statement that named one; naming one shows that one's rows."""
    threads = [Thread(app, scope_in(), "t") for _ in range(2)]
    for thread in threads:
        await thread.write({}, added=[message(0, "hidden")])
    mine = str(threads[0].scope.tenant_id)
    for _ in range(2):
        for table in TABLES:
            assert await by_hand.fetchval(f"SELECT count(*) FROM agentflow_{table}") == 0
        async with by_hand.transaction():
            await by_hand.fetchval("SELECT set_config('agentflow.tenants', $1, true)", "{" + mine + "}")
            rows = await by_hand.fetch("SELECT tenant_id FROM agentflow_messages")
            assert [str(row["tenant_id"]) for row in rows] == [mine]


async def test_the_setting_ends_with_its_statement(migrated_database_url: str) -> None:
    """A connection that goes back to the pool shows nobody's rows."""
    checkpointer = PgCheckpointer(databases.app_url(migrated_database_url), None, pool_size=1, max_overflow=0)
    thread = Thread(checkpointer, scope_in(), "t")
    await thread.write({}, added=[message(0, "a")])
    await thread.load()
    await checkpointer.delete_thread(thread.scope, "other")
    statements = (await checkpointer.backend()).statements
    async with statements.transaction() as driver:
        assert await driver.fetchval("SELECT current_setting('agentflow.tenants', true)") in {None, ""}
        assert await driver.fetchval("SELECT count(*) FROM agentflow_threads") == 0
    await checkpointer.aclose()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM agentflow_threads_p3",
        "SELECT thread_id FROM agentflow_threads_p3 LIMIT 0",
        "INSERT INTO agentflow_messages_p3 SELECT * FROM agentflow_messages LIMIT 0",
        "DELETE FROM agentflow_checkpoints_p1",
        "TRUNCATE agentflow_threads",
        "COPY agentflow_threads FROM STDIN",
        "ALTER TABLE agentflow_threads DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE agentflow_mine ()",
        "UPDATE agentflow_placements SET placement = 1",
        "UPDATE agentflow_schema SET version = 1",
        "SET ROLE agentflow_operator",
    ],
)
async def test_what_the_login_may_not_do(by_hand: Connection, statement: str) -> None:
    """Leaves, the schema and other roles are out of its reach."""
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError)):
        await by_hand.execute(statement)


async def test_nobody_writes_for_others(app: PgCheckpointer, by_hand: Connection) -> None:
    """A row of a tenant that the statement did not name is refused, not stored."""
    thread = Thread(app, scope_in(), "t")
    await thread.write({})
    async with by_hand.transaction():
        await by_hand.fetchval("SELECT set_config('agentflow.tenants', $1, true)", f"{{{uuid.uuid4()}}}")
        assert await by_hand.execute("UPDATE agentflow_threads SET state = '{}'") == "UPDATE 0"
        assert await by_hand.execute("DELETE FROM agentflow_threads") == "DELETE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await by_hand.execute(
                "INSERT INTO agentflow_threads"
                " (placement, tenant_id, thread_id, head, next_pos, run_id, state)"
                " VALUES (3, $1, 'x', 1, 0, '', '{}')",
                thread.scope.tenant_id,
            )


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: ",".join(plan) or "as it is")
async def test_tenants_are_set_first_in_every_plan(migrated_database_url: str, plan: dict[str, str]) -> None:
    """However the planner joins, rows are looked at after the tenants are set: all is found and written."""
    url = databases.app_url(migrated_database_url)
    engine = create_async_engine(url, connect_args={"server_settings": plan})
    checkpointer = PgCheckpointer.from_engine(engine, None)
    await _use(checkpointer)
    await checkpointer.aclose()
    await engine.dispose()


async def _use(checkpointer: PgCheckpointer) -> None:
    thread = Thread(checkpointer, scope_in(), "t")
    await thread.write({"a": 1}, added=[message(0, "one"), message(1, "two")])
    await thread.write({"a": 2}, removed=[0], added=[message(0, "edited")])
    await thread.write({"a": 3}, removed=[1])
    assert contents(await thread.load()) == ["edited"]
    assert contents(await checkpointer.load_at(thread.scope, thread.id, 1)) == ["one", "two"]
    assert len(await checkpointer.history(thread.scope, thread.id)) == 3
    assert [info.thread_id for info in await checkpointer.list_threads(thread.scope)] == ["t"]
    assert len(await checkpointer.list_messages(thread.scope, thread.id)) == 1
    assert await checkpointer.request_stop(thread.scope, thread.id)
    await raised(StaleCheckpointError, checkpointer.append(thread.scope, "t", write_after(None, {"a": 9})))
    assert await checkpointer.delete_thread(thread.scope, thread.id)
    assert await checkpointer.get_thread(thread.scope, thread.id) is None


async def test_leaves_are_named_as_numbers() -> None:
    """One leaf or several, with the parameter still in use; nothing but numbers gets in."""
    assert "placement = 7" in located("load", (7,))
    assert "placement = $1" not in located("load", (7,))
    assert "placement IN (7, 1001)" in behind_tenants("load", (7, 1001))
    for name in QUERIES:
        text = (
            behind_tenants(name, (7,)) if only_reads(name) and "$2" in QUERIES[name] else located(name, (7,))
        )
        assert ("$1" in text) == ("$1" in QUERIES[name])
        if shows_tenants(name):
            assert text.index("set_config") < text.index("agentflow_threads")
    with pytest.raises(ValueError, match="invalid literal"):
        located("load", ("1; DROP",))
