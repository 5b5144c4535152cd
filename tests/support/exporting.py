"""Tenants whose threads hold everything that a thread can, and what exports and imports them in a test."""

import asyncio
import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import BLOCKS, NewThread, ToolIntent, ToolResult, ToolStarts
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import (
    ExportFolder,
    ExportQueue,
    ExportRecord,
    ExportRepository,
    NewExport,
    ThreadExporter,
    ThreadImporter,
    Upload,
)
from agentflow_worker.export_runner import ExportRunner

AWKWARD = "quotes \" ' \\ \\u0000 \u2028 \x7f tab\t line\r\n 𝄞 é"


def scope_of(tenant: Tenant) -> Scope:
    """Its rows."""
    return Scope(tenant.tenant_id, tenant.placement)


@dataclass
class Exporting:
    """One database, one folder, and a worker that is told when to work."""

    engine: AsyncEngine
    folder: ExportFolder
    checkpointer: PgCheckpointer

    @property
    def records(self) -> ExportRepository:
        return ExportRepository(self.engine)

    def runner(self, **options: Any) -> ExportRunner:
        return ExportRunner(
            ExportQueue(self.engine),
            TenantRepository(self.engine),
            ThreadExporter(self.engine, self.folder),
            ThreadImporter(self.engine),
            self.folder,
            **{"lease_s": 5, "poll_s": 0.02, **options},
        )

    async def export(self, tenant: Tenant, **narrowed: str) -> tuple[ExportRecord, bytes]:
        """The record at its end, and the archive."""
        new = NewExport(uuid.uuid4(), **narrowed)
        await self.records.request_export(tenant, new, actor=SYSTEM)
        await self.work()
        record = await self.found(tenant, new.export_id)
        path = self.folder.archive(new.export_id)
        return record, path.read_bytes() if path.exists() else b""

    async def bring(self, tenant: Tenant, archive: bytes) -> ExportRecord:
        """The record of an import at its end."""
        record = await self.ask_to_bring(tenant, archive)
        await self.work()
        return await self.found(tenant, record.export_id)

    async def ask_to_bring(self, tenant: Tenant, archive: bytes) -> ExportRecord:
        """An import that is asked for."""
        upload = kept(self.folder, tenant, archive)
        return await self.records.request_import(tenant, upload, actor=SYSTEM)

    async def work(self, **options: Any) -> None:
        """Carry out what is asked for."""
        runner = self.runner(**options)
        while await runner.work_once():
            pass

    async def found(self, tenant: Tenant, export_id: uuid.UUID) -> ExportRecord:
        record = await self.records.get(tenant.tenant_id, export_id)
        assert record is not None
        return record


def kept(folder: ExportFolder, tenant: Tenant, archive: bytes) -> Upload:
    """An archive in the folder, as the API puts it there."""
    folder.make()
    digest = hashlib.sha256(archive).digest()
    folder.upload(tenant.tenant_id, digest).write_bytes(archive)
    return Upload(uuid.uuid4(), digest, len(archive))


async def fill(checkpointer: PgCheckpointer, tenant: Tenant, *, threads: int = 3) -> list[str]:
    """Threads with edits, blocks, tools, awkward texts, and one of LangGraph's; their stored ids."""
    scope = scope_of(tenant)
    ids = [f"tenant-{tenant.slug}:{name}" for name in (*(f"t{i}" for i in range(threads)), "é:a{b}", "Z")]
    for number, thread_id in enumerate(ids):
        attributes = NewThread(
            f"u{number % 2}", f"name {AWKWARD}", {"n": number, "at": [1.5, None, AWKWARD.replace("\x00", "")]}
        )
        async with checkpointer.session(scope, thread_id, new_thread=attributes) as session:
            await session.append(
                write_after(None, {"k": AWKWARD, "nul": "\0"}, added=[message(0, AWKWARD)], source="input")
            )
            blocks = '[{"type":"text","text":"a"},{"type":"tool_call","id":"c","name":"t","args":{}}]'
            later = message(
                1,
                blocks,
                role="assistant",
                content_kind=BLOCKS,
                extra='{"reasoning":"\\u0000"}',
                sent_at=1764.25,
            )
            before = session.snapshot
            await session.append(write_after(before, {"k": 1}, added=[later, message(2, "x" * 3000)]))
            intents = [ToolIntent(uuid.uuid4(), f"c{i}", "t", "n") for i in range(2)]
            now = session.snapshot
            assert now is not None
            await session.start_tools(ToolStarts(now.head, now.thread_no, "r", intents))
            await session.finish_tools(now.thread_no, [ToolResult(intents[0].key, '"done"')])
            for at in range(4 if number == 0 else 0):
                await session.append(write_after(session.snapshot, {"k": AWKWARD * at}, run_id=f"r{at}"))
            edited = message(1, "edited", role="assistant")
            await session.append(write_after(session.snapshot, {"k": 2}, added=[edited], removed=[1, 2]))
    saver = AgentFlowSaver(checkpointer, scope=scope)
    graph_id = f"tenant-{tenant.slug}:graph"
    config: Any = {"configurable": {"thread_id": graph_id, "checkpoint_ns": ""}}
    saved = await saver.aput(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
    await saver.aput_writes(saved, [("channel", {"v": b"\x00\xff"}), ("other", AWKWARD)], "task")
    return [*ids, graph_id]


async def exporting(engine: AsyncEngine, checkpointer: PgCheckpointer, path: Path) -> Exporting:
    """Everything, on a folder."""
    folder = ExportFolder(path / "exports")
    await asyncio.to_thread(folder.make)
    return Exporting(engine, folder, checkpointer)
