"""The queue of runs: who has room takes the fairest one as soon as there is one."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import Final, Protocol

from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StorageError
from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import RunRecord
from agentflow_hosting.tickets import rest, serve_tickets

logger = logging.getLogger("agentflow.worker")

ENTRYPOINT: Final = "run"
# A run that became ready a moment later than was said is asked for once, not many times.
_SOONEST_S: Final = 0.02
# While Postgres does not answer.
_AGAIN_S: Final = 1.0


class Work(Protocol):
    """What is done with runs that were taken."""

    async def execute(self, run: RunRecord) -> None:
        """Carry it out to its end. Does not raise, but when cancelled: then it was put back."""

    async def stop(self) -> None:
        """Have every run stop soon and put it back; returns when none is at work any more."""


class RunQueue:
    """Takes runs and has them carried out, so many at once.

    That a run waits is said by a ticket, put in by the transaction that made it wait. A ticket names nobody's
    work: who gets one asks for the fairest run, and whose run it is, is said by the run's own lease. So a
    ticket too many finds nothing, and one too few is made up for by looking about once in `poll_s`, as are
    leases that ran out.
    """

    def __init__(self, engine: AsyncEngine, repository: RunRepository, *, poll_s: float = 1.0) -> None:
        """Nothing is taken yet.

        Args:
            engine: Of the login that owns the tables; lends one connection for good, and one at times.
            repository: On that engine: of all tenants.
            poll_s: Seconds between looks while there is no ticket.
        """
        self._engine = engine
        self._repository = repository
        self._poll_s = poll_s

    async def serve(self, work: Work, stop: asyncio.Event, *, at_once: int, grace_s: float = 10.0) -> None:
        """Take runs until `stop` is set; then have those at work put back.

        Outages of Postgres are waited out.

        Args:
            work: Carries them out.
            stop: Ends it.
            at_once: Most runs at work.
            grace_s: How long runs may take to stop by themselves before they are cancelled.
        """
        taker = _Taker(self._repository, work, stop, at_once=at_once, poll_s=self._poll_s)
        serving = asyncio.create_task(
            serve_tickets(self._engine, ENTRYPOINT, taker.on_ticket, stop, room=taker.room)
        )
        try:
            await taker.run()
        finally:
            # Whoever ends us without `stop` shall not wait for tickets that nobody looks after.
            if not stop.is_set():
                serving.cancel()
            await taker.put_back(grace_s)
            await asyncio.gather(serving, return_exceptions=True)


class _Taker:
    """Takes runs one after the other while there is room for them."""

    def __init__(
        self, repository: RunRepository, work: Work, stop: asyncio.Event, *, at_once: int, poll_s: float
    ) -> None:
        self._repository = repository
        self._work = work
        self._stop = stop
        self._at_once = at_once
        self._poll_s = poll_s
        self._at_work: set[asyncio.Task[None]] = set()
        self._tickets: deque[asyncio.Future[bool]] = deque()
        # Something happened: a ticket, a run that ended, the end.
        self._bell = asyncio.Event()
        self._is_over = False

    def room(self) -> int:
        """How many more runs could be at work."""
        return 0 if self._stop.is_set() else self._at_once - len(self._at_work)

    async def on_ticket(self, _ticket: Job) -> None:
        """Hold a ticket until a run was taken for it, or there was none."""
        looked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._is_over:
            looked.set_result(False)
        self._tickets.append(looked)
        self._bell.set()
        if not await looked:
            raise RetryRequested(timedelta(0), "the worker stops")

    async def run(self) -> None:
        """Look for runs until told to stop."""
        stopping = asyncio.create_task(self._stop.wait())
        stopping.add_done_callback(lambda _: self._bell.set())
        try:
            while not self._stop.is_set():
                self._bell.clear()
                if self.room() <= 0:
                    await self._bell.wait()
                else:
                    await self._look()
        finally:
            stopping.cancel()
            self._is_over = True
            self._answer(len(self._tickets), looked=False)

    async def put_back(self, grace_s: float) -> None:
        """Have runs at work stop, those that do not by being cancelled."""
        at_work = list(self._at_work)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._work.stop()
                await asyncio.gather(*map(_done, at_work))
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)

    async def _look(self) -> None:
        tickets = len(self._tickets)
        try:
            run = await self._repository.take(uuid.uuid4())
            if run is not None:
                await self._begin(run)
                self._answer(1)
                return
            self._answer(tickets)
            wait_s = await self._until_next()
        except StorageError as error:
            # The tickets are kept: nobody looked.
            logger.warning("No runs for now: %s", error)
            await rest(self._stop, min(self._poll_s, _AGAIN_S))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._bell.wait()

    async def _begin(self, run: RunRecord) -> None:
        if self._stop.is_set():
            await self._repository.put_back(run)
            return
        task = asyncio.create_task(self._work.execute(run))
        self._at_work.add(task)
        task.add_done_callback(self._ended)
        # One that is cancelled before it began would not be put back.
        await asyncio.sleep(0)

    async def _until_next(self) -> float:
        """Seconds until it is worth looking without having been told."""
        about_s = self._poll_s * random.uniform(0.8, 1.2)
        next_s = await self._repository.next_in_s()
        # One that is ready and was not taken waits for another run of its thread.
        return about_s if next_s is None or next_s <= 0 else min(about_s, max(next_s, _SOONEST_S))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        self._bell.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A run was dropped by whoever carried it out.", exc_info=error)

    def _answer(self, most: int, *, looked: bool = True) -> None:
        for _ in range(min(most, len(self._tickets))):
            ticket = self._tickets.popleft()
            if not ticket.done():
                ticket.set_result(looked)


async def _done(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
