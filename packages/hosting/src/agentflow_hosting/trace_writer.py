"""Stores what runs did, behind them and many at a time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from agentflow.errors import AgentFlowError, StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import NoPartitionError
from agentflow_hosting.trace_collector import TraceCollector
from agentflow_hosting.trace_data import EndedRun
from agentflow_hosting.trace_repository import TraceRepository

logger = logging.getLogger("agentflow.traces")

_BATCH: Final = 100
_LINGER_S: Final = 0.2
_TRY_AGAIN_S: Final = 2.0


class TraceWriter:
    """Takes ended runs from a collector to the database; a run never waits for it, nor fails with it."""

    def __init__(self, collector: TraceCollector, repository: TraceRepository) -> None:
        """Nothing is written until `start`."""
        self.collector = collector
        self._repository = repository
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()
        self._told_dropped = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write from now on, in this event loop."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            if not self._some.is_set():
                with suppress(RuntimeError):  # the loop is closed: nobody writes any more
                    loop.call_soon_threadsafe(self._some.set)

        self.collector.on_ended = wake
        self._task = asyncio.create_task(self._work())

    async def flush(self) -> bool:
        """Write what waits now; whether all of it was written."""
        return await self._write(at_least=1)

    async def aclose(self) -> None:
        """Write what waits, once, and stop."""
        self.collector.on_ended = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if not await self.flush():
            logger.warning("What the latest runs did was not stored: Postgres does not answer.")

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(_LINGER_S)  # others end in the meantime, and share the statement
            self._some.clear()
            if not await self._write(at_least=_BATCH):
                await asyncio.sleep(_TRY_AGAIN_S)
                self._some.set()

    async def _write(self, *, at_least: int) -> bool:
        """A batch, and others behind it that hold so many; whether none failed.

        Those that end while one is written wait for others again: else each statement would hold a few.
        """
        async with self._writing:
            self._tell_dropped()
            while runs := self.collector.take(_BATCH):
                if not await self._written(runs):
                    return False
                if len(runs) < at_least:
                    break
            return True

    async def _written(self, runs: list[EndedRun]) -> bool:
        try:
            await self._repository.keep(runs)
        except (StoreUnavailableError, asyncio.CancelledError) as error:
            # Told once more after a lost reply they change nothing.
            self.collector.put_back(runs)
            if isinstance(error, asyncio.CancelledError):
                raise
            return False
        except NoPartitionError:
            logger.warning(
                "What %d runs did is not stored: their day was not made. Let a worker run.", len(runs)
            )
        except AgentFlowError as error:
            await self._one_by_one(runs, error)
        return True

    async def _one_by_one(self, runs: list[EndedRun], error: AgentFlowError) -> None:
        """One of them cannot be stored: the others are."""
        if len(runs) == 1:
            logger.warning("What run %s did is not stored: %s", runs[0].run_id, error)
            return
        for run in runs:
            await self._written([run])

    def _tell_dropped(self) -> None:
        if self.collector.dropped > self._told_dropped:
            self._told_dropped = self.collector.dropped
            logger.warning("What %d runs did was given up so far: too much waits.", self._told_dropped)
