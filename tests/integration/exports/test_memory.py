"""An archive larger than the memory that whoever writes or reads it may take."""

import asyncio
import json
import sys
import uuid
from typing import Final

from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import Tenant
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import NewExport
from tests.support.exporting import Exporting, scope_of
from tests.support.run import ROOT

MOST_MB: Final = 100
CONTENT: Final = "The quick brown fox. " * 2500
MESSAGES: Final = 20


async def filled(checkpointer: PgCheckpointer, tenant: Tenant, name: str, steps: int) -> None:
    """A thread of about a megabyte a step."""
    async with checkpointer.session(scope_of(tenant), f"tenant-{tenant.slug}:{name}") as session:
        for _ in range(steps):
            at = 0 if session.snapshot is None else session.snapshot.next_pos
            added = [message(at + i, CONTENT) for i in range(MESSAGES)]
            await session.append(write_after(session.snapshot, {"at": at}, added=added))


async def peak_mb(work: Exporting) -> float:
    """The most memory of a process of its own that does what is asked for."""
    url = work.engine.url.render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.exporting", url, str(work.folder.path),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    peak: float = json.loads(said)["peak_mb"]
    return peak


async def test_memory_is_bounded(
    work: Exporting, checkpointer: PgCheckpointer, acme: Tenant, beta: Tenant
) -> None:
    """Of an export and an import of many threads and of one long one, of more than that together."""
    for number in range(70):
        await filled(checkpointer, acme, f"n-{number}", 1)
    await filled(checkpointer, acme, "long", 40)
    asked = await work.records.request_export(acme, NewExport(uuid.uuid4()), actor=SYSTEM)
    out = await peak_mb(work)
    done = await work.found(acme, asked.export_id)
    assert (done.state, done.size_bytes > MOST_MB * 1e6) == ("done", True)
    archive = work.folder.archive(done.export_id).read_bytes()
    brought = await work.ask_to_bring(beta, archive)
    back = await peak_mb(work)
    done = await work.found(beta, brought.export_id)
    assert (done.state, done.threads_done) == ("done", 77)
    assert max(out, back) <= MOST_MB, (out, back)
