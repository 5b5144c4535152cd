"""No work on a database that was restored, before what must never come back was deleted from it again."""

import asyncio
import logging

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError
from agentflow_hosting.tickets import rest
from agentflow_tenancy.restores import UnappliedTombstonesError, check_restored

logger = logging.getLogger("agentflow.worker")


async def may_work(engine: AsyncEngine, stop: asyncio.Event, *, every_s: float = 1.0) -> bool:
    """Wait until the database may be worked on: webhooks, sweeps and offboardings would act on what is gone.

    Args:
        engine: Of the database.
        stop: Set to give up.
        every_s: Seconds between two looks.

    Returns:
        Whether it may; False when told to stop.

    Raises:
        ConfigurationError: The login is refused.
    """
    said = ""
    while not stop.is_set():
        try:
            await check_restored(engine)
        except (UnappliedTombstonesError, StorageError) as error:
            if str(error) != said:
                logger.warning("No work yet: %s", error)
                said = str(error)
            await rest(stop, every_s)
        else:
            return True
    return False
