"""`python -m agentflow_worker`: background work until SIGTERM or Ctrl-C."""

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import ConfigurationError
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_hosting.gauge_repository import GaugeRepository
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_hosting.trace_collector import TraceCollector
from agentflow_hosting.webhook_sender import WebhookSender
from agentflow_hosting.webhooks import Webhooks
from agentflow_telemetry import Metrics, Mode, SweepMetrics, Tracing, configure_logging, installed
from agentflow_telemetry.endpoint import MetricsEndpoint
from agentflow_tenancy import TenantRepository, UsageRepository
from agentflow_tenancy.exports import ExportFolder, ExportQueue, Leftovers, ThreadExporter, ThreadImporter
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_tenancy.restores import RestoreWatch
from agentflow_tenancy.tombstones import TombstoneFile, TombstoneRepository
from agentflow_worker.export_runner import ExportRunner
from agentflow_worker.gauge_reader import GaugeReader
from agentflow_worker.leftover_sweeper import LeftoverSweeper
from agentflow_worker.metrics_settings import MetricsSettings
from agentflow_worker.move_planner import MovePlanner
from agentflow_worker.offboarding_parts import opened_offboarding
from agentflow_worker.operation_runner import OperationRunner
from agentflow_worker.partition_janitor import PartitionJanitor
from agentflow_worker.restore_gate import may_work
from agentflow_worker.retention_sweep import RetentionSweep
from agentflow_worker.run_sweeper import RunSweeper
from agentflow_worker.run_worker import opened_run_worker
from agentflow_worker.settings import Settings, SettingsError, read_settings
from agentflow_worker.sweeper import Sweeper
from agentflow_worker.tombstone_keeper import TombstoneKeeper
from agentflow_worker.trace_sweeper import TraceSweeper
from agentflow_worker.usage_roller import UsageRoller


class _Part(Protocol):
    async def run(self, stop: asyncio.Event) -> None: ...


logger = logging.getLogger("agentflow.worker")


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set."""
    metrics = None
    if settings.telemetry.mode is not Mode.OFF:
        metrics = Metrics("agentflow-worker", settings=settings.telemetry)
    upkeep = engine_from_url(settings.database_url, pool_size=2, max_overflow=0, timeout_s=30)
    checkpointer = PgCheckpointer.from_engine(upkeep, redis_url=settings.redis_url)
    RestoreWatch(upkeep, checkpointer.forget_database)
    engine = engine_from_url(settings.database_url, pool_size=10, max_overflow=0, timeout_s=60)
    RestoreWatch(engine)
    sweeper = Sweeper(
        checkpointer,
        RetentionSweep(
            RetentionRepository(engine, settings.retention),
            metrics=SweepMetrics(None if metrics is None else metrics.registry),
        ),
        every_s=settings.sweep_every_s,
        keep_checkpoints=settings.keep_checkpoints,
        pack_after=settings.pack_after,
    )
    roller = UsageRoller(UsageRepository(engine), every_s=settings.roll_up_every_s)
    operations = OperationRepository(engine)
    planner = MovePlanner(
        TenantRepository(engine), operations, settings.move_policy, every_s=settings.plan_moves_every_s
    )
    mover = Mover(engine)
    runner = OperationRunner(operations, mover)
    janitor = PartitionJanitor(mover, every_s=settings.plan_moves_every_s)
    run_sweeper = RunSweeper(
        engine,
        every_s=settings.sweep_every_s,
        keep_chunks_s=settings.keep_chunks_s,
        keep_runs_s=settings.keep_runs.total_seconds(),
    )
    trace_sweeper = TraceSweeper(
        engine, every_s=settings.sweep_every_s, keep_s=settings.keep_traces.total_seconds()
    )
    async with AsyncExitStack() as stack:
        stack.callback(logger.info, "The worker stopped.")
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(upkeep.dispose)
        stack.push_async_callback(checkpointer.aclose)
        if not await may_work(engine, stop):
            return
        parts: list[_Part] = [sweeper, roller, planner, runner, janitor, run_sweeper, trace_sweeper]
        if settings.exports is not None:
            parts.append(_export_runner(settings.exports, settings.keep_exports, engine))
            leftovers = Leftovers(engine, ExportFolder(settings.exports))
            parts.append(LeftoverSweeper(leftovers, every_s=settings.sweep_every_s))
        if settings.tombstones is not None:
            kept = TombstoneFile(settings.tombstones)
            parts.append(TombstoneKeeper(TombstoneRepository(engine), kept, every_s=settings.sweep_every_s))
        if settings.metrics is not None and metrics is not None:
            parts.append(_gauge_reader(engine, metrics, settings))
            stack.callback(_endpoint(metrics, settings.metrics).close)
        stores = settings.runs is not None and settings.runs.store_traces
        collector = TraceCollector() if stores else None
        stack.callback(_tracing(collector, metrics).close)
        if settings.runs is not None:
            runs = opened_run_worker(settings.runs, engine, settings.redis_url, collector, metrics)
            parts.append(await stack.enter_async_context(runs))
            sender = WebhookSender(allow_private=settings.runs.allow_private_webhooks)
            parts.append(Webhooks(engine, settings.runs.key_pepper, sender))
            parts += await stack.enter_async_context(opened_offboarding(settings, settings.runs, engine))
        logger.info("The worker runs.")
        await asyncio.gather(*(part.run(stop) for part in parts))


def _tracing(collector: TraceCollector | None, metrics: Metrics | None) -> Tracing:
    if metrics is not None and collector is not None:
        metrics.drops("stored_runs", lambda: collector.dropped)
    return installed("agentflow-worker", metrics, [] if collector is None else [collector])


def _endpoint(metrics: Metrics, settings: MetricsSettings) -> MetricsEndpoint:
    endpoint = MetricsEndpoint(metrics, settings.host, settings.port, settings.token)
    logger.info("Metrics are at http://%s:%d/metrics.", settings.host, endpoint.port)
    return endpoint


def _gauge_reader(engine: AsyncEngine, metrics: Metrics, settings: Settings) -> GaugeReader:
    reader = GaugeReader(GaugeRepository(engine), metrics.facts, most_tenants=settings.telemetry.most_tenants)
    metrics.registry.register(reader)
    return reader


def _export_runner(path: Path, keep: timedelta, engine: AsyncEngine) -> ExportRunner:
    folder = ExportFolder(path)
    folder.make()
    return ExportRunner(
        ExportQueue(engine),
        TenantRepository(engine),
        ThreadExporter(engine, folder),
        ThreadImporter(engine),
        folder,
        keep_s=keep.total_seconds(),
    )


async def _until_signalled(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await work(settings, stop)


def main() -> None:
    """Check the settings and work."""
    configure_logging()
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.exit(str(error))
    try:
        asyncio.run(_until_signalled(settings))
    except ConfigurationError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
