"""Carries out exports and imports: takes one, goes on where it stands, gives way to whoever has it."""

import logging

from agentflow.errors import InvalidError
from agentflow_tenancy import TenantRepository
from agentflow_tenancy.exports import ExportFolder, ExportQueue, ExportRecord, ThreadExporter, ThreadImporter
from agentflow_tenancy.exports.errors import ArchiveError, ExportError
from agentflow_tenancy.exports.exporter import Progress
from agentflow_tenancy.exports.importer import ImportLostError, Loaded
from agentflow_tenancy.tenants import Tenant
from agentflow_worker.leased_runner import LeasedRunner, LostError

logger = logging.getLogger("agentflow.worker")


class _CancelledError(Exception):
    """It shall not go on."""


class ExportRunner(LeasedRunner[ExportRecord]):
    """One export or import at a time, noted part by part; see `LeasedRunner`.

    Before each look the files of those that have expired are deleted.
    """

    noun = "export or import"
    losses = (LostError, ImportLostError)

    def __init__(
        self,
        queue: ExportQueue,
        tenants: TenantRepository,
        exporter: ThreadExporter,
        importer: ThreadImporter,
        folder: ExportFolder,
        *,
        keep_s: float = 24 * 3600.0,
        lease_s: float = 5.0,
        poll_s: float = 1.0,
    ) -> None:
        """Nothing runs yet.

        Args:
            queue: Where they are asked for.
            tenants: Of a login that sees every tenant.
            exporter, importer: Do the work.
            folder: Where archives lie.
            keep_s: How long the file of an export is kept.
            lease_s: One is free again so long after its holder was last heard of.
            poll_s: How long to wait before looking for more.
        """
        super().__init__(queue, lease_s=lease_s, poll_s=poll_s)
        self._queue = queue
        self._tenants = tenants
        self._exporter = exporter
        self._importer = importer
        self._folder = folder
        self._keep_s = keep_s

    async def expire(self) -> int:
        """Delete the files of exports that have expired; how many did.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        expired = await self._queue.expire()
        for export_id in expired:
            self._folder.drop(export_id)
        return len(expired)

    async def _prepare(self) -> None:
        await self.expire()

    async def _lost(self, record: ExportRecord) -> None:
        """What this attempt wrote goes, unless somebody else goes on with it or it is whole."""
        now = await self._queue.find(record)
        if now is None or not (now.is_open or now.state == "done"):
            self._folder.drop(record.export_id)

    async def _go_on(self, record: ExportRecord) -> None:
        try:
            await self._work(record)
        except _CancelledError:
            await self._end(record, "cancelled")
        except ExportError as error:
            await self._end(record, "failed", (error.code, str(error)))
        except InvalidError as error:
            # The database's own refusal of a value that was let through.
            await self._end(record, "failed", (ArchiveError.code, str(error)))

    async def _work(self, record: ExportRecord) -> None:
        if record.cancel_requested:
            raise _CancelledError
        tenant = await self._tenants.find_tenant(str(record.tenant_id))
        if tenant is None:
            raise ExportError("There is no such tenant any more.")
        if record.kind == "export":
            await self._export(record)
        else:
            await self._import(record, tenant)

    async def _export(self, record: ExportRecord) -> None:
        total = await self._exporter.count(record)

        async def note(progress: Progress) -> None:
            await self._note(record, "write", progress.after, progress.threads, progress.size_bytes, total)

        written = await self._exporter.write(record, note)
        ended = await self._queue.end(
            record, "done", keep_s=self._keep_s, digest=written.digest, size_bytes=written.size_bytes
        )
        if not ended:
            raise LostError
        logger.info("Export %s: %d bytes.", record.export_id, written.size_bytes)

    async def _import(self, record: ExportRecord, tenant: Tenant) -> None:
        try:
            path = self._folder.upload(record.tenant_id, record.digest or b"")
            total = await self._importer.check(path, tenant, after=record.after)
            await self._note(record, "load", record.after, record.threads_done, record.size_bytes, total)

            async def note(loaded: Loaded) -> None:
                await self._note(record, "load", loaded.after, loaded.threads, record.size_bytes, total)

            await self._importer.load(path, record, tenant, note)
        except FileNotFoundError as error:
            raise ArchiveError("The uploaded archive is no longer there: send it again.") from error
        await self._end(record, "done")

    async def _note(
        self, record: ExportRecord, step: str, after: str, threads: int, size_bytes: int, total: int
    ) -> None:
        is_cancelled = await self._queue.note(
            record,
            step,
            lease_s=self._lease_s,
            after=after,
            threads_done=threads,
            size_bytes=size_bytes,
            threads_total=total,
        )
        if is_cancelled is None:
            raise LostError
        if is_cancelled:
            raise _CancelledError

    async def _end(self, record: ExportRecord, state: str, error: tuple[str, str] | None = None) -> None:
        if not await self._queue.end(record, state, keep_s=self._keep_s, error=error):
            raise LostError
        # What is not a whole export is of no more use; an import's archive can be sent again.
        self._folder.drop(record.export_id)
        if record.digest is not None:
            self._folder.upload(record.tenant_id, record.digest).unlink(missing_ok=True)
        logger.info("The %s %s: %s.", record.kind, record.export_id, state)
