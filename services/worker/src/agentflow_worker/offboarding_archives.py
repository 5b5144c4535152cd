"""Archives and offboardings: one is kept before anything goes, and all go with what they were made of."""

import uuid
from collections.abc import AsyncGenerator

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError
from agentflow_tenancy import TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportFolder, ExportRecord, ExportRepository, NewExport
from agentflow_tenancy.exports.errors import TooManyExportsError
from agentflow_tenancy.offboarding import Subject

_PAGE = 100


class ArchiveFirst:
    """Has a tenant exported under the offboarding's id; the archive is there until the grace ends."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Nothing is asked for yet."""
        self._tenants = TenantRepository(engine)
        self._records = ExportRepository(engine)

    async def __call__(self, subject: Subject, offboarding_id: uuid.UUID) -> bool:
        """See `Exporter`. Whichever worker takes the export writes it.

        Raises:
            StorageError: The export failed, or others have to end first; the offboarding waits, and may be
                cancelled.
        """
        tenant = await self._tenants.find_tenant(str(subject.tenant_id))
        if tenant is None:
            raise StorageError("There is no such tenant any more.")
        asked = NewExport(offboarding_id, user_id=subject.user_id)
        try:
            record = await self._records.request_export(tenant, asked, actor=SYSTEM)
        except TooManyExportsError as error:
            raise StorageError(str(error)) from error
        if record.is_open:
            return False
        if record.state != "done":
            raise StorageError(f"The export ended {record.state}: {record.error or 'nobody said why'}.")
        return True


class ArchivesPlace:
    """The folder of archives: what holds something of who leaves goes, and what they sent to be imported."""

    name = "archives"

    def __init__(self, engine: AsyncEngine, folder: ExportFolder) -> None:
        """Nothing is looked at yet."""
        self._records = ExportRepository(engine)
        self._folder = folder

    async def purge(self, subject: Subject) -> int:
        """See `Place`. While the records are there, which say whose a file is."""
        deleted = 0
        async for record in self._holding(subject):
            deleted += self._folder.drop(record.export_id)
            await self._records.expire(record)
        for file in self._folder.uploads(subject.tenant_id):
            file.unlink(missing_ok=True)
            deleted += 1
        return deleted

    async def count(self, subject: Subject) -> int:
        """See `Place`."""
        files = len(self._folder.uploads(subject.tenant_id))
        async for record in self._holding(subject):
            files += len(self._folder.files(record.export_id))
        return files

    async def _holding(self, subject: Subject) -> AsyncGenerator[ExportRecord]:
        """Of a tenant all; of a user those of the whole tenant, of a thread, and the user's own."""
        before = None
        while True:
            page = await self._records.page(subject.tenant_id, "export", before=before, limit=_PAGE)
            for record in page:
                if subject.user_id is None or record.user_id in (None, subject.user_id):
                    yield record
            if len(page) < _PAGE:
                return
            before = page[-1].export_id


class ArchivesElsewhere:
    """Where this worker has no folder of archives: a receipt has to wait for one that has."""

    name = "archives"

    def __init__(self, engine: AsyncEngine) -> None:
        """Nothing is looked at yet."""
        self._records = ExportRepository(engine)

    async def purge(self, subject: Subject) -> int:
        """See `Place`. While the records are there.

        Raises:
            StorageError: There is a file somewhere, which cannot be deleted from here.
        """
        if await self.count(subject):
            raise StorageError(
                "The tenant has archives, and this worker has no folder of them: set AGENTFLOW_EXPORTS."
            )
        return 0

    async def count(self, subject: Subject) -> int:
        """See `Place`."""
        page = await self._records.page(subject.tenant_id, "export", limit=_PAGE)
        return sum(record.state == "done" for record in page)
