"""Whether a database was restored from a backup, and may not serve yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.queries import QUERIES


class UnappliedTombstonesError(StoreUnavailableError):
    """The database was restored, and holds what was deleted for good since the backup. It may serve later."""


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
    raise _unapplied(restore_id)


class RestoreWatch:
    """Refuses connections to a database that was restored while this process runs, until it may serve.

    A restore ends every connection, so that looking at each new one is enough. A look is one round trip, and
    the requests that share the connection from then on pay nothing.
    """

    def __init__(self, engine: AsyncEngine, *forget: Callable[[], None]) -> None:
        """Look at every connection that the engine opens from now on.

        Args:
            engine: Its pool raises `UnappliedTombstonesError` instead of lending.
            forget: Called when the database is another one than before, and again once it may serve: what was
                learned of it holds no more.
        """
        self._forget = forget
        self._restore_id: str | None = None
        self._has_looked = False
        event.listen(engine.sync_engine, "connect", self._look)

    def _look(self, connection: AdaptedConnection, _record: object) -> None:
        try:
            connection.run_async(self._looked)
        except BaseException:  # also when cancelled: the pool has not got it yet, and would never close it
            connection.run_async(_terminated)
            raise

    async def _looked(self, driver: asyncpg.Connection[Any]) -> None:
        with translated():
            restore_id = await driver.fetchval(QUERIES["restore_id"].text)
            is_known = self._has_looked and restore_id == self._restore_id
            unapplied = restore_id is not None and not is_known and await _is_unapplied(driver)
        if self._has_looked and not is_known:
            for forget in self._forget:
                forget()
        if unapplied:
            raise _unapplied(restore_id)
        self._restore_id, self._has_looked = restore_id, True


async def _is_unapplied(driver: asyncpg.Connection[Any]) -> bool:
    found: bool = await driver.fetchval(QUERIES["is_unapplied"].text)
    return found


async def _terminated(driver: asyncpg.Connection[Any]) -> None:
    driver.terminate()


def _unapplied(restore_id: str) -> UnappliedTombstonesError:
    return UnappliedTombstonesError(
        f"The database was restored ({restore_id}), and its tombstones were not applied yet: nobody is "
        "served before `agentflow-cloud restore apply-tombstones FILE`."
    )
