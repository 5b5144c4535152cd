"""A database that was restored: versions come again, with other content than a process remembers."""

import asyncpg
import pytest

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, new_scope, write_after


async def texts(checkpointer: PgCheckpointer, scope: Scope) -> list[str]:
    async with checkpointer.session(scope, "t") as session:
        return [] if session.snapshot is None else [stored.content for stored in session.snapshot.messages]


@pytest.mark.parametrize("remembered", [True, False], ids=["in memory", "in Redis alone"])
async def test_nothing_of_before_is_believed(
    migrated_database_url: str, redis_url: str, *, remembered: bool
) -> None:
    """Neither the process's memory nor Redis, once it was told; the same versions before that."""
    cache_bytes = 10_000_000 if remembered else 0
    checkpointer = PgCheckpointer(migrated_database_url, redis_url, cache_bytes=cache_bytes)
    owner = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    try:
        scope = new_scope()
        async with checkpointer.session(scope, "t") as session:
            await session.append(write_after(None, {}, added=[message(0, "of the lost time")]))
        await owner.execute("UPDATE agentflow_messages SET content = 'of the other time'")
        await owner.execute("UPDATE agentflow_instance SET instance_id = gen_random_uuid()")
        assert await texts(checkpointer, scope) == ["of the lost time"]
        checkpointer.forget_database()
        assert await texts(checkpointer, scope) == ["of the other time"]
        async with checkpointer.session(scope, "t") as session:
            await session.append(write_after(session.snapshot, {}, added=[message(1, "and on")]))
        assert await texts(checkpointer, scope) == ["of the other time", "and on"]
    finally:
        await owner.close()
        await checkpointer.aclose()
