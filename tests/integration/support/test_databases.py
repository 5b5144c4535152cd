"""The suite's own databases: each test gets its own, and a leak is found."""

import asyncpg
import pytest

from tests.support import databases
from tests.support.run import Servers


def dsn(url: str) -> str:
    return url.replace("+asyncpg", "")


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_database_is_empty_at_the_start_of_each_test(database_url: str, turn: int) -> None:
    """What one test creates, another does not see."""
    connection = await asyncpg.connect(dsn(database_url))
    await connection.execute("CREATE TABLE mine (turn int)")
    await connection.close()


async def test_an_open_connection_is_found(servers: Servers, database_url: str) -> None:
    """The check that ends every test sees a connection, and what it did last."""
    connection = await asyncpg.connect(dsn(database_url))
    await connection.execute("SELECT 'this one leaks'")
    name = database_url.rpartition("/")[2]
    seen = databases.open_connections(servers.database_url, name, timeout_s=0)
    await connection.close()
    assert len(seen) == 1
    assert "this one leaks" in seen[0]
