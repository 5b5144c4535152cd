"""Tombstones in the database: taken out of one, and applied to one that was restored."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any, Final

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.control_plane import as_json
from agentflow_tenancy.offboarding.places import Place
from agentflow_tenancy.offboarding.purger import Purge, Purger
from agentflow_tenancy.offboarding.records import Subject
from agentflow_tenancy.queries import QUERIES
from agentflow_tenancy.tombstones.tombstone import Issued, Tombstone

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
        rows: How many rows went, or a user's name from them; those below threads not counted.
        receipts: How many the database got again, so that its chain goes on behind them.
        refused: How many it could not get: it has others of their numbers.
        unknown: How many tombstones the database has that were not given: those given are older than it.
    """

    restore_id: str | None
    tombstones: int
    rows: int
    receipts: int = 0
    refused: int = 0
    unknown: int = 0


class TombstoneRepository:
    """Needs the login that owns the tables, and nobody else at work in the database.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine, places: Sequence[Place] = ()) -> None:
        """Use an engine of this event loop.

        Args:
            engine: Of the database.
            places: What holds something of tenants in it beside the tables that say so.
        """
        self._engine = engine
        self._places = places

    async def all(self) -> Sequence[Tombstone]:
        """Those that the database has, with their receipts, to be kept outside of it."""
        with translated():
            async with self._engine.begin() as connection:
                if not (await _rows(connection, "has_tombstones"))[0]["found"]:
                    return []
                rows = await _rows(connection, "tombstones")
        return [_tombstone(row) for row in rows]

    async def receipt_ids(self) -> set[uuid.UUID]:
        """The ids of those that the database has."""
        with translated():
            async with self._engine.begin() as connection:
                return {_uuid(row["receipt_id"]) for row in await _rows(connection, "receipt_ids")}

    async def apply(self, tombstones: Sequence[Tombstone]) -> Applied:
        """Delete again what was deleted for good, then let the database serve.

        A tenant's is a transaction a table, a user's goes by the steps of a purge and leaves what they made
        later; done again, each finds nothing. Receipts come back with their tombstones, so that neither is
        missing in the next backup. The last transaction ends every token and cached state of the time after
        the backup, and notes the restore.

        Returns:
            What was done.
        """
        before = await self.receipt_ids()
        rows = sum([await self._delete(one) for one in tombstones])
        with translated():
            receipts = refused = 0
            for one in sorted(tombstones, key=_number):
                if one.issued is not None:
                    async with self._engine.begin() as connection:
                        kept, is_there = await _keep(connection, one, one.issued)
                    receipts, refused = receipts + kept, refused + (not is_there)
            for one in tombstones:
                async with self._engine.begin() as connection:
                    await _execute(connection, "end_others", **_whose(one), receipt_id=one.receipt_id)
            found = await self._note(len(tombstones))
        unknown = before - {one.receipt_id for one in tombstones}
        return Applied(found, len(tombstones), rows, receipts, refused, len(unknown))

    async def _delete(self, one: Tombstone) -> int:
        with translated():
            async with self._engine.begin() as connection:
                slugs = await _rows(connection, "slug", tenant_id=one.tenant_id)
        slug = slugs[0]["slug"] if slugs else None
        if one.user_digest is None:
            return await self._delete_tenant(one, slug)
        return 0 if slug is None else await self._delete_user(one, slug)

    async def _delete_tenant(self, one: Tombstone, slug: str | None) -> int:
        with translated():
            async with self._engine.begin() as connection:
                tables = await _rows(connection, "tables_of_tenants")
                await _execute(connection, "fence", tenant_id=one.tenant_id)
                await _execute(connection, "keep_digests", tenant_id=one.tenant_id, receipt_id=one.receipt_id)
        if slug is not None:
            for place in self._places:
                await place.purge(Subject(one.tenant_id, slug))
        rows = 0
        for table in tables:
            with translated():
                async with self._engine.begin() as connection:
                    rows += await _execute(
                        connection, "delete_of_tenant", table["name"], tenant_id=one.tenant_id
                    )
        return rows

    async def _delete_user(self, one: Tombstone, slug: str) -> int:
        """By the steps of a purge, so that what one forgets the other does not leave; see `Purger`."""
        with translated():
            async with self._engine.begin() as connection:
                found = await _rows(connection, "user_of_digest", **_whose(one))
                if not found:
                    return 0
        subject = Subject(one.tenant_id, slug, found[0]["user_id"], until=one.purged_at)
        purger, purge = Purger(self._engine, rest=0), Purge(subject, one.receipt_id, None)
        rows = 0
        for placement in await purger.places(subject):
            rows += await purger.purge_threads(purge, placement)
        for place in self._places:  # while the rows are there that say what is the user's
            rows += await place.purge(subject)
        return rows + await purger.purge_tables(purge)

    async def _note(self, tombstones: int) -> str | None:
        async with self._engine.begin() as connection:
            found: str | None = (await connection.execute(QUERIES["restore_id"])).scalar_one()
            noted = await connection.execute(QUERIES["find_restore"], {"restore_id": found})
            if found is not None and noted.first() is None:
                for name in ("end_tokens", "renew_graces", "new_instance"):
                    await _execute(connection, name)
                await _execute(connection, "note_restore", restore_id=found, tombstones=tombstones)
        return found


def _tombstone(row: RowMapping) -> Tombstone:
    issued = None
    if row["body"] is not None and row["public_jwk"] is not None:
        issued = Issued(row["body"], row["jws"], as_json(row["public_jwk"]))
    return Tombstone(
        _uuid(row["tenant_id"]), row["user_digest"], row["purged_at"], _uuid(row["receipt_id"]), issued
    )


def _number(one: Tombstone) -> int:
    """In the order of the chain."""
    return 0 if one.issued is None else int(json.loads(one.issued.body)["sequence"])


async def _keep(connection: AsyncConnection, one: Tombstone, issued: Issued) -> tuple[int, bool]:
    """Have a receipt again with all that goes with it; whether it was new, and whether it is there."""
    receipt = json.loads(issued.body)
    kid = issued.key["kid"]
    await _execute(connection, "keep_key", kid=kid, public_jwk=json.dumps(dict(issued.key)))
    kept = await _execute(
        connection,
        "keep_receipt",
        receipt_id=one.receipt_id,
        tenant_id=one.tenant_id,
        body=issued.body,
        sequence=receipt["sequence"],
        issued_at=datetime.fromisoformat(receipt["issued_at"]),
        jws=issued.jws,
        key_id=kid,
        previous=_bytes(receipt["previous"]),
    )
    there = await _rows(connection, "has_receipt", receipt_id=one.receipt_id, body=issued.body)
    if not there[0]["found"]:
        return kept, False
    await _execute(connection, "keep_tombstone", **_whose(one), receipt_id=one.receipt_id)
    fenced_at = receipt["fenced_at"]
    await _execute(
        connection,
        "keep_offboarding",
        **_whose(one),
        receipt_id=one.receipt_id,
        kind=receipt["kind"],
        slug_digest=_bytes(receipt["slug_sha256"]),
        placements=receipt["placements"],
        created_at=datetime.fromisoformat(receipt["requested_at"]),
        fenced_at=None if fenced_at is None else datetime.fromisoformat(fenced_at),
    )
    return kept, True


def _whose(one: Tombstone) -> dict[str, Any]:
    return {"tenant_id": one.tenant_id, "user_digest": one.user_digest, "purged_at": one.purged_at}


def _bytes(digits: str | None) -> bytes | None:
    return None if digits is None else bytes.fromhex(digits)


async def _rows(connection: AsyncConnection, name: str, **values: Any) -> Sequence[RowMapping]:
    return (await connection.execute(text(_TEXTS[name]), values)).mappings().all()


async def _execute(connection: AsyncConnection, name: str, table: str = "", **values: Any) -> int:
    done = await connection.execute(text(_TEXTS[name].replace("{table}", table)), values)
    return max(0, done.rowcount)


def _uuid(value: Any) -> uuid.UUID:
    return uuid.UUID(bytes=value.bytes)
