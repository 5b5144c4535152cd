"""Runs the migrations: one migrator at a time, in one transaction, without waiting for ever on a lock."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

# Two migrators at once: the second waits here, then finds nothing left to do. The number is the
# same as the checkpointer's own, so that a first use and a migration never meet either.
LOCK = text("SELECT pg_advisory_xact_lock(7102452209)")

# A migration that cannot get its table lock gives up instead of queueing every other statement behind it.
LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', '10s', true)")


def migrate(connection: Connection) -> None:
    """Apply what is missing."""
    context.configure(connection=connection)
    with context.begin_transaction():
        connection.execute(LOCK)
        connection.execute(LOCK_TIMEOUT)
        context.run_migrations()


async def main() -> None:
    """Connect and migrate."""
    engine = create_async_engine(_database_url())
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()
    finally:
        await engine.dispose()


def _database_url() -> str:
    url = os.environ.get("AGENTFLOW_DATABASE_URL")
    if not url:
        raise SystemExit("Set AGENTFLOW_DATABASE_URL=postgresql+asyncpg://user:password@host:5432/database.")
    return url


asyncio.run(main())
