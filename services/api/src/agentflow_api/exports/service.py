"""What tenants and the operator do with archives."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from agentflow_api.http import parameters
from agentflow_api.http.problems import ConflictingError, NotThereError, StoppingError
from agentflow_api.wiring import Wiring
from agentflow_tenancy import Tenant
from agentflow_tenancy.exports import ExportFolder, ExportRecord, Link
from agentflow_tenancy.exports.records import Kind


class NoFolderError(StoppingError):
    """This deployment keeps no archives."""

    code = "EXPORTS_NOT_CONFIGURED"


def folder(wiring: Wiring) -> ExportFolder:
    """Where archives lie.

    Raises:
        NoFolderError: Nowhere.
    """
    if wiring.export_folder is None:
        raise NoFolderError("This deployment keeps no archives: set AGENTFLOW_EXPORTS to a folder.")
    return wiring.export_folder


async def found(wiring: Wiring, tenant: Tenant, named: str, kind: Kind) -> ExportRecord:
    """A tenant's export or import.

    Raises:
        NotThereError: There is none of this id, for this tenant.
    """
    missing = NotThereError(f"There is no such {kind}.")
    record = await wiring.exports.get(tenant.tenant_id, uuid_of(named, missing))
    if record is None or record.kind != kind:
        raise missing
    return record


async def page(wiring: Wiring, tenant: Tenant, kind: Kind, cursor: str, limit: int) -> list[ExportRecord]:
    """Newest first."""
    before = uuid_of(cursor, parameters.invalid("cursor", "is not one of this service")) if cursor else None
    return await wiring.exports.page(tenant.tenant_id, kind, before=before, limit=limit)


async def ended(wiring: Wiring, record: ExportRecord) -> ExportRecord:
    """Cancel what is open; have the file of what is done go.

    Raises:
        ConflictingError: It has ended, and no file is left.
    """
    if record.is_open:
        now = await wiring.exports.cancel(record)
    else:
        now = await wiring.exports.expire(record)
        if now is not None:
            folder(wiring).drop(record.export_id)
    if now is None:
        raise ConflictingError(f"This {record.kind} has ended; there is nothing left to end.")
    return now


def link_to(wiring: Wiring, record: ExportRecord, expires_in_s: int) -> dict[str, Any]:
    """A link that downloads an export.

    Raises:
        ConflictingError: There is no file: not yet, or no more.
    """
    if record.state != "done" or record.expires_at is None or record.digest is None:
        raise ConflictingError(f"There is nothing to download: this export is {record.state}.")
    until = min(int(time.time()) + expires_in_s, int(record.expires_at.timestamp()))
    link = wiring.links.make(Link(record.tenant_id, record.export_id, until))
    return {
        "url": f"/downloads?link={link}",
        "expires_at": datetime.fromtimestamp(until, UTC).isoformat(),
        "size_bytes": record.size_bytes,
        "sha256": record.digest.hex(),
    }


def uuid_of(text: str, otherwise: Exception) -> UUID:
    """An id out of a path.

    Raises:
        Exception: `otherwise`, as it is none.
    """
    try:
        return UUID(text)
    except ValueError:
        raise otherwise from None
