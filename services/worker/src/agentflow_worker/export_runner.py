"""Carries out exports and imports: takes one, goes on where it stands, gives way to whoever has it."""

import asyncio
import logging
import uuid

from agentflow.errors import AgentFlowError, InvalidError, StorageError
from agentflow_tenancy import TenantRepository
from agentflow_tenancy.exports import ExportFolder, ExportQueue, ExportRecord, ThreadExporter, ThreadImporter
from agentflow_tenancy.exports.errors import ArchiveError, ExportError
from agentflow_tenancy.exports.exporter import Progress
from agentflow_tenancy.exports.importer import ImportLostError, Loaded
from agentflow_tenancy.tenants import Tenant
from agentflow_worker.looking import work_until

logger = logging.getLogger("agentflow.worker")

_PUT_OFF_S = 3.0


class _LostError(Exception):
    """Somebody else works on it now."""


class _CancelledError(Exception):
    """It shall not go on."""


class ExportRunner:
    """One export or import at a time, until told to stop. Any number of processes may do so at once.

    What was done is noted part by part, so that whoever comes after a crash goes on from there.
    """

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
        self._queue = queue
        self._tenants = tenants
        self._exporter = exporter
        self._importer = importer
        self._folder = folder
        self._keep_s = keep_s
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._holder = uuid.uuid4()

    async def run(self, stop: asyncio.Event) -> None:
        """Look for work until `stop` is set; what is under way is left for somebody else."""
        await work_until(stop, self.work_once, poll_s=self._poll_s)

    async def work_once(self) -> bool:
        """Delete files whose time has come, and carry out what is asked for next; False when nothing is."""
        try:
            await self.expire()
            record = await self._queue.take(self._holder, self._lease_s)
            if record is None:
                return False
            await self._carry_out(record)
        except (StorageError, OSError) as error:
            logger.warning("No export this time: %s", error)
            return False
        return True

    async def expire(self) -> int:
        """Delete the files of exports that have expired; how many did.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        expired = await self._queue.expire()
        for export_id in expired:
            self._folder.drop(export_id)
        return len(expired)

    async def _carry_out(self, record: ExportRecord) -> None:
        held = asyncio.ensure_future(self._go_on(record))
        beating = asyncio.ensure_future(self._beat(record, held))
        try:
            await held
        except asyncio.CancelledError:
            if beating.done() and not beating.cancelled():
                return  # somebody else has it
            # Told to stop: whoever looks next goes on.
            await asyncio.shield(self._queue.put_off(record, None, 0.0))
            raise
        except (_LostError, ImportLostError):
            logger.warning("The %s %s is somebody else's now.", record.kind, record.export_id)
        except _CancelledError:
            await self._end(record, "cancelled")
        except ExportError as error:
            await self._end(record, "failed", (error.code, str(error)))
        except InvalidError as error:
            # The database's own refusal of a value that was let through.
            await self._end(record, "failed", (ArchiveError.code, str(error)))
        except (AgentFlowError, OSError) as error:
            logger.warning("The %s %s is put off: %s", record.kind, record.export_id, error)
            await self._queue.put_off(record, str(error), _PUT_OFF_S)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, record: ExportRecord, held: "asyncio.Future[None]") -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                if await self._queue.hold(record, self._lease_s) is None:
                    held.cancel()
                    return
            except StorageError:
                continue  # the lease may last until the database is back

    async def _go_on(self, record: ExportRecord) -> None:
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
        await self._queue.end(
            record, "done", keep_s=self._keep_s, digest=written.digest, size_bytes=written.size_bytes
        )
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
            raise _LostError
        if is_cancelled:
            raise _CancelledError

    async def _end(self, record: ExportRecord, state: str, error: tuple[str, str] | None = None) -> None:
        if await self._queue.end(record, state, keep_s=self._keep_s, error=error):
            # What is not a whole export is of no more use; an import's archive can be sent again.
            self._folder.drop(record.export_id)
            if record.digest is not None:
                self._folder.upload(record.tenant_id, record.digest).unlink(missing_ok=True)
        logger.info("The %s %s: %s.", record.kind, record.export_id, state)
