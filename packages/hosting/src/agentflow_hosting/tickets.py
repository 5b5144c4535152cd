"""Tickets of PgQueuer: durable words that there is something to do, handed to one worker at a time.

They are put in by the database itself, with what they are about (`schema/0004_tickets.sql`). Here they are
served.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import FailingListenerError
from pgqueuer.domain.models import Job, TableChangedEvent, TracebackRecord, utc_now
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import JOB_STATUS, Channel, QueueEntrypoint
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError, StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow.storage.checkpointer.pool import connection
from agentflow_hosting.queries import QUERIES

logger = logging.getLogger("agentflow.worker")

_CONNECT_AGAIN_S: Final = 1.0
# Whoever holds a ticket says so at half of this; one that died lets go of it after so long.
_TICKET_LEASE: Final = timedelta(seconds=20)
# Also without a word from Postgres; a listener that lost its connection learns of it at once.
_LOOK_EVERY: Final = timedelta(seconds=10)
_CLOSE_WITHIN_S: Final = 5.0


def ticket_settings() -> DBSettings:
    """The names of PgQueuer's tables here, whatever the environment says."""
    return DBSettings(
        prefix="agentflow_",
        db_schema=None,
        channel=Channel("agentflow_ch_pgqueuer"),
        function="agentflow_fn_pgqueuer_changed",
        trigger="agentflow_tg_pgqueuer_changed",
        queue_table="agentflow_pgqueuer",
        queue_table_log="agentflow_pgqueuer_log",
        queue_status_type="agentflow_pgqueuer_status",
        statistics_table="agentflow_pgqueuer_statistics",
        schedules_table="agentflow_pgqueuer_schedules",
        durability=Durability.durable,
        widen_id=True,
    )


class TicketQueries(Queries):
    """PgQueuer's statements; a ticket that is to come again wakes who sleeps until later than that.

    Of what a ticket's handling raised the type is noted, and no text: texts name threads and users, who may
    be forgotten while the note is kept.
    """

    async def log_jobs(self, job_status: list[tuple[Job, JOB_STATUS, TracebackRecord | None]]) -> None:
        """Note how tickets ended, and without whom."""
        await super().log_jobs([(job, status, _nameless(record)) for job, status, record in job_status])

    async def retry_job(self, job: Job, delay: timedelta, traceback_record: TracebackRecord | None) -> None:
        """Put a ticket back, and say so: the library's trigger is silent about updates."""
        await super().retry_job(job, delay, _nameless(traceback_record))
        channel = self.qbq.settings.channel
        event = TableChangedEvent(
            channel=channel,
            sent_at=utc_now(),
            type="table_changed_event",
            operation="update",
            table=self.qbq.settings.queue_table,
        )
        await self.driver.notify(channel, event.model_dump_json())


def ticket_queries(driver: asyncpg.Connection[Any]) -> TicketQueries:
    """PgQueuer's statements, on its tables of these names."""
    settings = ticket_settings()
    return TicketQueries(
        AsyncpgDriver(driver),
        qbe=QueryBuilderEnvironment(settings),
        qbq=QueryQueueBuilder(settings),
        qbs=QuerySchedulerBuilder(settings),
    )


class TicketManager(QueueManager):
    """A queue manager that takes no ticket for which there is no room."""

    def __init__(self, queries: Queries, room: Callable[[], int]) -> None:
        """With `room`, how many more tickets may be worked on than are now."""
        super().__init__(queries, channel=queries.qbq.settings.channel)
        self._room = room
        # Work that waits while there is no room is no reason to ask ten times a second.
        self.min_dequeue_poll_interval = timedelta(seconds=0.5)

    def entrypoints_below_capacity_limits(self) -> set[QueueEntrypoint]:
        """None, when there is no room: then others get the tickets."""
        return super().entrypoints_below_capacity_limits() if self._room() > len(self.job_context) else set()


async def serve_tickets(
    engine: AsyncEngine,
    entrypoint: str,
    handle: Callable[[Job], Awaitable[None]],
    stop: asyncio.Event,
    *,
    room: Callable[[], int],
) -> None:
    """Hand over tickets of a kind until `stop` is set; outages of Postgres are waited out.

    Keeps a connection of the engine to itself. A ticket is gone when its handling is done, and comes to
    somebody else when this process dies before.

    Args:
        engine: Of the login that owns the tables.
        entrypoint: Kind of ticket.
        handle: Called for each. Raise `RetryRequested` to have the ticket come again later.
        stop: Ends it, once what was handed over is done.
        room: How many may be handed over and not done at the moment.
    """
    while not stop.is_set():
        try:
            async with connection(engine) as driver:
                manager = TicketManager(ticket_queries(driver), room)
                manager.entrypoint(entrypoint, accepts_context=False)(handle)
                await _serve_on(driver, manager, stop)
        except (StorageError, FailingListenerError, RuntimeError) as error:
            # A RuntimeError says that the tables are not as they should be: somebody migrates, perhaps.
            logger.warning("No tickets for now: %s", error)
            await rest(stop, _CONNECT_AGAIN_S)


async def rest(until: asyncio.Event, about_s: float) -> None:
    """Wait for an event, for about so long at most: processes that began together shall not ask together."""
    with suppress(TimeoutError):
        async with asyncio.timeout(about_s * random.uniform(0.8, 1.2)):
            await until.wait()


async def forget_tickets(engine: AsyncEngine, *, older_than_s: float) -> None:
    """Delete what PgQueuer noted of its work so long ago.

    Raises:
        StoreUnavailableError: Postgres does not answer.
    """
    with translated():
        async with engine.begin() as transaction:
            await transaction.execute(QUERIES["forget_ticket_log"], {"older_than_s": older_than_s})


def _nameless(record: TracebackRecord | None) -> TracebackRecord | None:
    """What may be kept of an error whosever it was."""
    if record is None:
        return None
    return record.model_copy(update={"exception_message": "", "traceback": "", "additional_context": None})


async def _serve_on(driver: asyncpg.Connection[Any], manager: TicketManager, stop: asyncio.Event) -> None:
    def end(*_: object) -> None:
        manager.shutdown.set()

    stopping = asyncio.create_task(stop.wait())
    stopping.add_done_callback(end)
    driver.add_termination_listener(end)
    try:
        await manager.run(
            batch_size=1,
            dequeue_timeout=_LOOK_EVERY,
            heartbeat_timeout=_TICKET_LEASE,
            shutdown_on_listener_failure=True,
            # Nobody reads them.
            log_aggregation_interval=timedelta(0),
        )
        if driver.is_closed() and not stop.is_set():
            raise StoreUnavailableError("Postgres ended the connection.")
    finally:
        stopping.cancel()
        driver.remove_termination_listener(end)
        if not driver.is_closed():
            await driver.reset(timeout=_CLOSE_WITHIN_S)
