"""Runs the migrations: one migrator at a time, in one transaction, without waiting for ever on a lock."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, text

from agentflow.errors import AgentFlowError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow.storage.checkpointer.pool import engine_from_url

# Two migrators at once: the second waits here, then finds nothing left to do. The number is the
# same as the checkpointer's own, so that a first use and a migration never meet either.
LOCK = text("SELECT pg_advisory_xact_lock(7102452209)")

# A migration that cannot get its table lock gives up instead of queueing every other statement behind it.
LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', '10s', true)")


_NO_LIMIT_S = 7 * 24 * 3600.0


def migrate(connection: Connection) -> None:
    """Apply what is missing."""
    context.configure(connection=connection)
    with context.begin_transaction():
        connection.execute(LOCK)
        connection.execute(LOCK_TIMEOUT)
        context.run_migrations()


async def main() -> None:
    """Connect and migrate."""
    # No limit for a statement: a migration takes as long as it takes.
    engine = engine_from_url(_database_url(), pool_size=1, max_overflow=0, timeout_s=_NO_LIMIT_S)
    try:
        with translated():
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


try:
    asyncio.run(main())
except AgentFlowError as error:
    # What to do, instead of where it happened.
    raise SystemExit(str(error)) from None
