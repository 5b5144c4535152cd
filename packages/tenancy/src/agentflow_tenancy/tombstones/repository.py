"""Tombstones in the database: taken out of one, and applied to one that was restored."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.queries import QUERIES
from agentflow_tenancy.tombstones.tombstone import Tombstone

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARTS: Final = _HEADER.split(
    resources.files(__package__).joinpath("tombstones.sql").read_text(encoding="utf-8")
)
_TEXTS: Final = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done to a restored database.

    Attributes:
        restore_id: Of the restore that may serve from now on; None when the server knows of none.
        tombstones: How many were applied.
        rows: How many rows went, those below threads not counted.
    """

    restore_id: str | None
    tombstones: int
    rows: int


class TombstoneRepository:
    """Needs the login that owns the tables, and nobody else at work in the database.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def all(self) -> Sequence[Tombstone]:
        """Those that the database has, to be kept outside of it."""
        with translated():
            async with self._engine.begin() as connection:
                if not (await _rows(connection, "has_tombstones"))[0]["found"]:
                    return []
                rows = await _rows(connection, "tombstones")
        return [_tombstone(row) for row in rows]

    async def apply(self, tombstones: Sequence[Tombstone]) -> Applied:
        """Delete again what was deleted for good, then let the database serve.

        Each tombstone is a transaction a table; done again, it finds nothing. The last one ends every token
        and cached state of the time after the backup, and notes the restore.

        Returns:
            What was done.
        """
        rows = 0
        with translated():
            async with self._engine.begin() as connection:
                tables = await _rows(connection, "tables_of_tenants")
            for one in tombstones:
                if one.user_digest is None:
                    async with self._engine.begin() as connection:
                        await _execute(connection, "fence", tenant_id=one.tenant_id)
                for table in tables:
                    async with self._engine.begin() as connection:
                        rows += await _delete(connection, table, one)
            async with self._engine.begin() as connection:
                found: str | None = (await connection.execute(QUERIES["restore_id"])).scalar_one()
                noted = await connection.execute(QUERIES["find_restore"], {"restore_id": found})
                if found is not None and noted.first() is None:
                    await _execute(connection, "end_tokens")
                    await _execute(connection, "new_instance")
                    await _execute(connection, "note_restore", restore_id=found, tombstones=len(tombstones))
        return Applied(found, len(tombstones), rows)


def _tombstone(row: RowMapping) -> Tombstone:
    receipt_id = _uuid(row["receipt_id"])
    return Tombstone(_uuid(row["tenant_id"]), row["user_digest"], row["purged_at"], receipt_id)


async def _delete(connection: AsyncConnection, table: RowMapping, one: Tombstone) -> int:
    if one.user_digest is None:
        return await _execute(connection, "delete_of_tenant", table["name"], tenant_id=one.tenant_id)
    if not table["has_user"]:
        return 0
    whose = {"user_digest": one.user_digest, "purged_at": one.purged_at}
    return await _execute(connection, "delete_of_user", table["name"], tenant_id=one.tenant_id, **whose)


async def _rows(connection: AsyncConnection, name: str, **values: Any) -> Sequence[RowMapping]:
    return (await connection.execute(text(_TEXTS[name]), values)).mappings().all()


async def _execute(connection: AsyncConnection, name: str, table: str = "", **values: Any) -> int:
    done = await connection.execute(text(_TEXTS[name].replace("{table}", table)), values)
    return max(0, done.rowcount)


def _uuid(value: Any) -> uuid.UUID:
    return uuid.UUID(bytes=value.bytes)
