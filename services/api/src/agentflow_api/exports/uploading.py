"""Taking an archive in: streamed to the disk, looked at, and handed to a worker."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from litestar import Request

from agentflow.errors import TenantGoneError
from agentflow_api.exports import service
from agentflow_api.http.json_lines import patient
from agentflow_api.http.problems import BodyTooLargeError, StoppingError, UnsupportedBodyError
from agentflow_api.wiring import Wiring
from agentflow_tenancy import Tenant
from agentflow_tenancy.control_plane import Actor
from agentflow_tenancy.exports import ExportRecord, Upload
from agentflow_tenancy.exports.archive_reader import ArchiveReader
from agentflow_tenancy.exports.errors import TooManyExportsError

# An archive up to this is checked whole before it is answered; of a larger one names and sizes only.
_CHECKED_BYTES: Final = 16 * 1024 * 1024


async def take_in(
    request: Request[Any, Any, Any], tenant: Tenant, wiring: Wiring, actor: Actor
) -> ExportRecord:
    """Keep the body as an archive to be imported.

    Raises:
        ArchiveError: It is none that can be read.
        ThreadsExistError, NoRoomError: Of a small one: the tenant has some of its threads, or no room.
        BodyTooLargeError: Over AGENTFLOW_MAX_IMPORT_BYTES.
        UnsupportedBodyError: It is packed: an archive is sent as it is.
        TooManyExportsError: Enough are open.
        TenantGoneError: The tenant was offboarded while it came in: nothing of it is kept.
    """
    folder = service.folder(wiring)
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedBodyError("Send the archive as it is, not packed.")
    import_id = uuid.uuid4()
    incoming = folder.incoming(tenant.tenant_id, import_id)
    await asyncio.to_thread(folder.make)
    try:
        async with aclosing(patient(request.stream())) as body:
            digest, size = await _keep(body, incoming, wiring.settings.max_import_bytes)
        await _require_tenant(wiring, tenant)
        await asyncio.to_thread(_look_at, incoming)
        known = await wiring.exports.find_import(tenant.tenant_id, digest)
        if size <= _CHECKED_BYTES and known is None:
            await wiring.importer.check(incoming, tenant, after="")
        kept = folder.upload(tenant.tenant_id, digest)
        await asyncio.to_thread(incoming.replace, kept)
    except FileNotFoundError as error:
        # Somebody who was forgotten may have been in it.
        raise StoppingError("The upload was deleted meanwhile: send it again.") from error
    finally:
        await asyncio.to_thread(incoming.unlink, missing_ok=True)
    try:
        return await wiring.exports.request_import(tenant, Upload(import_id, digest, size), actor=actor)
    except (TenantGoneError, TooManyExportsError):
        await asyncio.to_thread(kept.unlink, missing_ok=True)
        raise


async def _require_tenant(wiring: Wiring, tenant: Tenant) -> None:
    """An archive may take longer to come in than a tenant to leave."""
    now = await wiring.repository.find_tenant(str(tenant.tenant_id))
    if now is None or now.state == "offboarding":
        raise TenantGoneError("This tenant was offboarded while the archive came in.")


async def _keep(body: AsyncIterator[bytes], path: Path, most_bytes: int) -> tuple[bytes, int]:
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=1024 * 1024) as file:
        async for piece in body:
            size += len(piece)
            if size > most_bytes:
                raise BodyTooLargeError(f"The archive is larger than {most_bytes} bytes.")
            digest.update(piece)
            file.write(piece)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return digest.digest(), size


def _look_at(path: Path) -> None:
    with ArchiveReader(path):
        pass
