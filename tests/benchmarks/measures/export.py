"""An export and an import of a tenant: how fast, and in how much memory, by a process of its own."""

import asyncio
import json
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportFolder, ExportRecord, ExportRepository, NewExport
from tests.benchmarks.bench import Bench
from tests.benchmarks.measures.partitions import migrated
from tests.support import databases
from tests.support.exporting import kept
from tests.support.run import ROOT

TURNS = 10
WRITERS = 16
CONTENT = "The quick brown fox jumps over the lazy dog. " * 22
_MB = 1e6


async def measure_export(bench: Bench) -> None:
    """Conversations of ten turns, exported and brought into another tenant, over and over."""
    async with migrated(bench) as url:
        engine = create_async_engine(url)
        with tempfile.TemporaryDirectory() as path:
            await _measure(bench, engine, url, ExportFolder(Path(path)))
        await engine.dispose()


async def _measure(bench: Bench, engine: AsyncEngine, url: str, folder: ExportFolder) -> None:
    tenants, records = TenantRepository(engine), ExportRepository(engine)
    full = await tenants.create_tenant("full")
    checkpointer = PgCheckpointer(databases.app_url(url), bench.redis_url)
    await _fill(checkpointer, full, bench.sizes.exported_threads)
    await checkpointer.aclose()
    out, back, memory, same = [], [], [], []
    for number in range(min(3, bench.sizes.rounds)):
        asked = await records.request_export(full, NewExport(uuid.uuid4()), actor=SYSTEM)
        done, took_s, peak_mb = await _carried_out(records, asked, url, folder)
        archive = folder.archive(done.export_id).read_bytes()
        out.append(done.size_bytes / _MB / took_s)
        memory.append(peak_mb)
        empty = await tenants.create_tenant(f"empty-{number}")
        asked = await records.request_import(empty, kept(folder, empty, archive), actor=SYSTEM)
        _, took_s, peak_mb = await _carried_out(records, asked, url, folder)
        back.append(len(archive) / _MB / took_s)
        memory.append(peak_mb)
        asked = await records.request_export(empty, NewExport(uuid.uuid4()), actor=SYSTEM)
        done, _, _ = await _carried_out(records, asked, url, folder)
        same.append(float(folder.archive(done.export_id).read_bytes() == archive))
    report = bench.report
    report.add("export.rate", "export of a tenant, JSON of its archive", "MB/s", out)
    report.add("import.rate", "import of the same archive", "MB/s", back)
    report.add("export.memory", "the most memory of a process that does so", "MB", memory)
    report.add("export.same", "archives that are the same after an import", "x", same)


async def _carried_out(
    records: ExportRepository, asked: ExportRecord, url: str, folder: ExportFolder
) -> tuple[ExportRecord, float, float]:
    """The record at its end, the seconds of work and the peak of memory of a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.exporting", url, str(folder.path),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    found: dict[str, Any] = json.loads(said)
    done = await records.get(asked.tenant_id, asked.export_id)
    if done is None or done.state != "done":
        raise RuntimeError(f"it did not work: {done}")
    return done, found["took_s"], found["peak_mb"]


async def _fill(checkpointer: PgCheckpointer, tenant: Tenant, threads: int) -> None:
    scope = Scope(tenant.tenant_id, tenant.placement)
    names = iter(range(threads))

    async def write() -> None:
        for number in names:
            snapshot = None
            async with checkpointer.session(scope, f"tenant-{tenant.slug}:t{number}") as session:
                for turn in range(TURNS):
                    pos = 2 * turn
                    said = [
                        message(pos, CONTENT),
                        message(pos + 1, CONTENT, role="assistant", sent_at=time.time()),
                    ]
                    await session.append(write_after(snapshot, {"turn": turn, "topic": "foxes"}, added=said))
                    snapshot = session.snapshot

    await asyncio.gather(*(write() for _ in range(WRITERS)))
