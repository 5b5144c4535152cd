"""Exports and imports as records: asked for, taken, held, ended."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.control_plane import Actor, ControlPlane, Transaction
from agentflow_tenancy.exports.errors import TooManyExportsError
from agentflow_tenancy.tenants import Tenant

type Kind = Literal["export", "import"]
# So many of a tenant may be open at a time: each may fill a disk.
MOST_OPEN: Final = 4


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """An export or an import, as it stands.

    Attributes:
        thread_id, user_id: What an export is narrowed to, as the tenant knows them.
        after: The last thread that is done.
        size_bytes: Of the archive, as far as it is whole.
        digest: SHA-256 of the whole archive.
        expires_at: When the file of an export goes.
    """

    tenant_id: uuid.UUID
    export_id: uuid.UUID
    kind: Kind
    thread_id: str | None
    user_id: str | None
    state: str
    step: str
    cancel_requested: bool
    after: str
    threads_total: int | None
    threads_done: int
    size_bytes: int
    digest: bytes | None
    attempts: int
    error: str | None
    error_code: str | None
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    holder: uuid.UUID | None

    @property
    def is_open(self) -> bool:
        """Whether somebody works on it, or is to."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, slots=True)
class NewExport:
    """What is asked for.

    Attributes:
        export_id: Its id, random and of this request alone.
        thread_id, user_id: Only this thread, only this user's.
    """

    export_id: uuid.UUID
    thread_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """An archive that lies in the folder.

    Attributes:
        export_id: Of the import, if it is a new one.
        digest: SHA-256 of the file.
    """

    export_id: uuid.UUID
    digest: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Needed:
    """An export or import that files are needed for.

    Attributes:
        is_open: Somebody works on it or is to; else it is an export whose archive is kept.
        digest: SHA-256 of the archive, as far as it is known.
    """

    tenant_id: uuid.UUID
    export_id: uuid.UUID
    kind: Kind
    is_open: bool
    digest: bytes | None


class ExportRepository:
    """Reads and writes the records. Each method is one transaction.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._plane = ControlPlane(engine)

    async def request_export(self, tenant: Tenant, new: NewExport, *, actor: Actor) -> ExportRecord:
        """Have threads exported; asked again under the same id it is the same export.

        Raises:
            TooManyExportsError: `MOST_OPEN` are open already.
        """
        values = {"thread_id": new.thread_id, "user_id": new.user_id, "digest": None, "size_bytes": 0}

        async def work(transaction: Transaction) -> ExportRecord:
            await _show(transaction, tenant.tenant_id)
            return await self._created(transaction, tenant, new.export_id, "export", values, actor)

        return await self._plane.run(work)

    async def request_import(self, tenant: Tenant, upload: Upload, *, actor: Actor) -> ExportRecord:
        """Have an archive imported. One of the same archive that is open, or ended half-way, goes on instead.

        Returns:
            The record. Its id is another one than the upload's when an earlier import goes on.

        Raises:
            TooManyExportsError: `MOST_OPEN` are open already.
        """
        values = {
            "thread_id": None,
            "user_id": None,
            "digest": upload.digest,
            "size_bytes": upload.size_bytes,
        }

        async def work(transaction: Transaction) -> ExportRecord:
            await _show(transaction, tenant.tenant_id)
            for name in ("open_import", "reopen_import"):
                found = await transaction.one(name, tenant_id=tenant.tenant_id, digest=upload.digest)
                if found is not None:
                    return _record(found)
            return await self._created(transaction, tenant, upload.export_id, "import", values, actor)

        return await self._plane.run(work)

    async def get(self, tenant_id: uuid.UUID, export_id: uuid.UUID) -> ExportRecord | None:
        """One record of a tenant, or None."""
        return await self._one("get_export", tenant_id, export_id=export_id)

    async def page(
        self, tenant_id: uuid.UUID, kind: Kind, *, before: uuid.UUID | None = None, limit: int = 100
    ) -> list[ExportRecord]:
        """A tenant's records of a kind, newest first."""

        async def work(transaction: Transaction) -> list[ExportRecord]:
            await _show(transaction, tenant_id)
            rows = await transaction.all(
                "list_exports", tenant_id=tenant_id, kind=kind, before=before, most=limit
            )
            return [_record(row) for row in rows]

        return await self._plane.run(work)

    async def find_import(self, tenant_id: uuid.UUID, digest: bytes) -> ExportRecord | None:
        """An import of the same archive that is open, or ended half-way."""
        return await self._one("find_import", tenant_id, digest=digest)

    async def cancel(self, record: ExportRecord) -> ExportRecord | None:
        """Have it ended; None when it has ended already."""
        return await self._one("cancel_export", record.tenant_id, export_id=record.export_id)

    async def expire(self, record: ExportRecord) -> ExportRecord | None:
        """Have an export's file go before its time; None when there is none."""
        return await self._one("expire_export", record.tenant_id, export_id=record.export_id)

    async def _created(
        self,
        transaction: Transaction,
        tenant: Tenant,
        export_id: uuid.UUID,
        kind: Kind,
        values: dict[str, Any],
        actor: Actor,
    ) -> ExportRecord:
        known = await transaction.one("get_export", tenant_id=tenant.tenant_id, export_id=export_id)
        if known is not None:
            return _record(known)
        count = await transaction.one("count_open_exports", tenant_id=tenant.tenant_id)
        if count is not None and count["open"] >= MOST_OPEN:
            raise TooManyExportsError(f"{MOST_OPEN} exports and imports of this tenant are open already.")
        step = "write" if kind == "export" else "check"
        row = await transaction.one(
            "create_export",
            tenant_id=tenant.tenant_id,
            export_id=export_id,
            kind=kind,
            step=step,
            requested_by=actor.name,
            **values,
        )
        if row is None:
            row = await transaction.one("get_export", tenant_id=tenant.tenant_id, export_id=export_id)
            assert row is not None  # noqa: S101 - who was faster has committed
        details = {name: values[name] for name in ("thread_id", "user_id") if values[name] is not None}
        await transaction.note(actor, f"tenant.{kind}", str(export_id), tenant.tenant_id, details)
        return _record(row)

    async def _one(self, name: str, tenant_id: uuid.UUID, **values: Any) -> ExportRecord | None:
        async def work(transaction: Transaction) -> ExportRecord | None:
            await _show(transaction, tenant_id)
            row = await transaction.one(name, tenant_id=tenant_id, **values)
            return None if row is None else _record(row)

        return await self._plane.run(work)


class ExportQueue:
    """The worker's side of the records, of every tenant. Transactions and errors as above."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop, by a login that sees every tenant."""
        self._plane = ControlPlane(engine)

    async def take(self, holder: uuid.UUID, lease_s: float) -> ExportRecord | None:
        """The oldest that nobody works on; None when there is none."""
        row = await self._row("take_export", holder=holder, lease_s=lease_s)
        return None if row is None else _record(row)

    async def find(self, record: ExportRecord) -> ExportRecord | None:
        """The record as it stands now; None when it went with its tenant."""
        row = await self._row("get_export", tenant_id=record.tenant_id, export_id=record.export_id)
        return None if row is None else _record(row)

    async def hold(self, record: ExportRecord, lease_s: float) -> bool | None:
        """Go on holding; whether it shall be cancelled. None when somebody else holds it now."""
        row = await self._row("hold_export", **_key(record), lease_s=lease_s)
        return None if row is None else bool(row["cancel_requested"])

    async def note(
        self,
        record: ExportRecord,
        step: str,
        *,
        lease_s: float,
        after: str,
        threads_done: int,
        size_bytes: int,
        threads_total: int | None = None,
    ) -> bool | None:
        """Note what is done; as `hold`."""
        row = await self._row(
            "note_export",
            **_key(record),
            step=step,
            after=after,
            threads_done=threads_done,
            size_bytes=size_bytes,
            threads_total=threads_total,
            lease_s=lease_s,
        )
        return None if row is None else bool(row["cancel_requested"])

    async def end(
        self,
        record: ExportRecord,
        state: str,
        *,
        keep_s: float,
        error: tuple[str, str] | None = None,
        digest: bytes | None = None,
        size_bytes: int | None = None,
    ) -> bool:
        """It is over; False when somebody else holds it now.

        Args:
            error: Code and text.
            keep_s: How long the file of an export is kept.
        """
        code, text = error or (None, None)
        row = await self._row(
            "end_export",
            **_key(record),
            state=state,
            error=text,
            error_code=code,
            digest=digest,
            size_bytes=size_bytes,
            keep_s=keep_s,
        )
        return row is not None

    async def put_off(self, record: ExportRecord, error: str | None, after_s: float) -> None:
        """It did not work this time."""
        await self._row("put_off_export", **_key(record), error=error, after_s=after_s)

    async def expire(self, most: int = 100) -> list[uuid.UUID]:
        """Exports whose time has come; their files are to be deleted."""
        rows = await self._plane.run(lambda transaction: transaction.all("expire_exports", most=most))
        return [_uuid(row["export_id"]) for row in rows]

    async def needed(self) -> list[Needed]:
        """What files are needed for, of every tenant."""
        rows = await self._plane.run(lambda transaction: transaction.all("needed_files"))
        return [
            Needed(
                _uuid(row["tenant_id"]),
                _uuid(row["export_id"]),
                row["kind"],
                row["state"] != "done",
                None if row["digest"] is None else bytes(row["digest"]),
            )
            for row in rows
        ]

    async def _row(self, name: str, **values: Any) -> RowMapping | None:
        return await self._plane.run(lambda transaction: transaction.one(name, **values))


async def _show(transaction: Transaction, tenant_id: uuid.UUID) -> None:
    await transaction.execute("show_tenant", shown=f"{{{tenant_id}}}")


def _key(record: ExportRecord) -> dict[str, Any]:
    return {"tenant_id": record.tenant_id, "export_id": record.export_id, "holder": record.holder}


def _record(row: RowMapping) -> ExportRecord:
    values = {field.name: row[field.name] for field in fields(ExportRecord)}
    for name in ("tenant_id", "export_id", "holder"):
        values[name] = _uuid(values[name])
    if values["digest"] is not None:
        values["digest"] = bytes(values["digest"])
    return ExportRecord(**values)


def _uuid(value: Any) -> Any:
    return None if value is None else uuid.UUID(bytes=value.bytes)
