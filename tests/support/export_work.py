"""Exports and imports of an API's tenants, carried out in the test's own process."""

import asyncio
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow_tenancy import TenantRepository
from agentflow_tenancy.exports import ExportFolder, ExportQueue, ThreadExporter, ThreadImporter
from agentflow_worker.export_runner import ExportRunner
from tests.support.api import Api


def carried_out(api: Api, sql: str | None = None, **values: Any) -> None:
    """A worker does all there is to do; before, a statement by the operator."""

    async def work() -> None:
        engine = create_async_engine(api.database_url)
        if sql is not None:
            async with engine.begin() as connection:
                await connection.execute(text(sql), values)
        runner = _runner(engine, ExportFolder(api.exports))
        while await runner.work_once():
            pass
        await engine.dispose()

    asyncio.run(work())


def _runner(engine: AsyncEngine, folder: ExportFolder) -> ExportRunner:
    exporter, importer = ThreadExporter(engine, folder), ThreadImporter(engine)
    return ExportRunner(ExportQueue(engine), TenantRepository(engine), exporter, importer, folder)
