"""`python -m agentflow_worker`: background work until SIGTERM or Ctrl-C."""

import asyncio
import logging
import signal
import sys

from agentflow.errors import ConfigurationError
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_telemetry import configure_logging
from agentflow_tenancy import TenantRepository, UsageRepository
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_worker.move_planner import MovePlanner
from agentflow_worker.operation_runner import OperationRunner
from agentflow_worker.partition_janitor import PartitionJanitor
from agentflow_worker.settings import Settings, SettingsError, read_settings
from agentflow_worker.sweeper import Sweeper
from agentflow_worker.usage_roller import UsageRoller

logger = logging.getLogger("agentflow.worker")


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set."""
    checkpointer = PgCheckpointer(settings.database_url, redis_url=settings.redis_url, pool_size=2)
    sweeper = Sweeper(
        checkpointer,
        every_s=settings.sweep_every_s,
        retention=settings.retention,
        keep_checkpoints=settings.keep_checkpoints,
        pack_after=settings.pack_after,
    )
    engine = engine_from_url(settings.database_url, pool_size=6, max_overflow=0, timeout_s=60)
    roller = UsageRoller(UsageRepository(engine), every_s=settings.roll_up_every_s)
    operations = OperationRepository(engine)
    planner = MovePlanner(
        TenantRepository(engine), operations, settings.move_policy, every_s=settings.plan_moves_every_s
    )
    mover = Mover(engine)
    runner = OperationRunner(operations, mover)
    janitor = PartitionJanitor(mover, every_s=settings.plan_moves_every_s)
    logger.info("The worker runs.")
    try:
        parts = (sweeper, roller, planner, runner, janitor)
        await asyncio.gather(*(part.run(stop) for part in parts))
    finally:
        await checkpointer.aclose()
        await engine.dispose()
    logger.info("The worker stopped.")


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
