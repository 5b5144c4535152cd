"""Has a tenant exported and waits for it: what an offboarding asks for before it deletes."""

from __future__ import annotations

import asyncio
import uuid
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports.errors import ExportError
from agentflow_tenancy.exports.records import ExportRecord, ExportRepository, NewExport
from agentflow_tenancy.tenants import Tenant

_LOOK_EVERY_S: Final = 0.5


class TenantExporter:
    """Asks for an export; whichever worker takes it writes it."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Nothing is asked for yet."""
        self._records = ExportRepository(engine)

    async def __call__(
        self, tenant: Tenant, export_id: uuid.UUID | None = None, *, user_id: str | None = None
    ) -> ExportRecord:
        """The export, when its archive is kept. Called again with the same id it waits for the same one.

        Args:
            tenant: Whose.
            export_id: Random, and of this export alone; made if not given.
            user_id: Only this user's threads.

        Raises:
            ExportError: It failed or was cancelled.
            StoreUnavailableError: No answer; may be repeated.
        """
        asked = NewExport(export_id or uuid.uuid4(), user_id=user_id)
        record = await self._records.request_export(tenant, asked, actor=SYSTEM)
        while record.is_open:
            await asyncio.sleep(_LOOK_EVERY_S)
            found = await self._records.get(tenant.tenant_id, record.export_id)
            if found is None:
                raise ExportError("The export is no longer on record.")
            record = found
        if record.state != "done":
            raise ExportError(f"The export ended {record.state}: {record.error or 'nobody said why'}.")
        return record
