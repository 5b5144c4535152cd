"""Whether a database was restored from a backup, and may not serve yet."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import ConfigurationError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.queries import QUERIES


class UnappliedTombstonesError(ConfigurationError):
    """The database was restored, and holds what was deleted for good since the backup."""


async def check_restored(engine: AsyncEngine) -> None:
    """Refuse to serve from a restored database before its tombstones were applied.

    Raises:
        UnappliedTombstonesError: They were not; the text says what to do.
        StoreUnavailableError: Postgres does not answer.

    One round trip, two in a restored database.
    """
    with translated():
        async with engine.begin() as connection:
            restore_id = (await connection.execute(QUERIES["restore_id"])).scalar_one()
            if restore_id is None:
                return
            found = await connection.execute(QUERIES["find_restore"], {"restore_id": restore_id})
            if found.first() is not None:
                return
    raise UnappliedTombstonesError(
        f"The database was restored ({restore_id}), and its tombstones were not applied yet: nobody is "
        "served before `agentflow-cloud restore apply-tombstones FILE`."
    )
