"""Making the schema on first use."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from agentflow.errors import SchemaVersionError
from agentflow.storage.checkpointer.queries import QUERIES
from agentflow.storage.checkpointer.schema import LATEST_VERSION, schema_statements

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agentflow.storage.checkpointer.driver_statements import Statements


async def ensure_schema(engine: AsyncEngine, statements: Statements) -> uuid.UUID:
    """Bring the database to this library's schema version if it is behind.

    Safe in many processes at once: one makes it, the others wait and find it made.

    Returns:
        The database's instance id.

    Raises:
        SchemaVersionError: A newer library has been here.
        StorageError: The role may not create tables.

    Two round trips when there is nothing to do.
    """
    if await _version(statements) < LATEST_VERSION:
        await _create(engine)
    found = await _version(statements)
    if found > LATEST_VERSION:
        raise SchemaVersionError(
            f"The database's schema is at version {found}, this library knows {LATEST_VERSION}: "
            "upgrade agentflow."
        )
    instance_id: uuid.UUID = (await statements.fetch("instance_id"))[0]["instance_id"]
    return uuid.UUID(bytes=instance_id.bytes)


async def _create(engine: AsyncEngine) -> None:
    from agentflow.storage.checkpointer.pool import connection

    async with connection(engine) as driver, driver.transaction():
        await driver.execute(QUERIES["schema_lock"])
        version = 0
        if await driver.fetchval(QUERIES["schema_exists"]):
            version = await driver.fetchval(QUERIES["schema_version"])
        for missing in range(version + 1, LATEST_VERSION + 1):
            placements = await driver.fetch(QUERIES["placements"]) if missing > 1 else []
            for statement in schema_statements(missing, [row["placement"] for row in placements]):
                await driver.execute(statement)


async def _version(statements: Statements) -> int:
    if not (await statements.fetch("schema_exists"))[0]["found"]:
        return 0
    version: int = (await statements.fetch("schema_version"))[0]["version"]
    return version
