"""Checkpoints written in order while the run goes on: durability "async"."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from agentflow.storage.checkpointer.types import CheckpointWrite, Committed

type Append = Callable[[CheckpointWrite], Awaitable[Committed]]

# A run is at most so many checkpoints ahead of the store; then it waits.
MOST_BEHIND: Final = 8


class Pipeline:
    """Writes of one run, one after the other.

    Attributes:
        failure: Why a write was refused. Those behind it are not sent: they go on from what is not there.
        stop_requested: An acknowledgement said so.
    """

    def __init__(self) -> None:
        """Nothing is written yet."""
        self._waiting: deque[CheckpointWrite] = deque()
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.failure: Exception | None = None
        self.stop_requested = False

    async def put(self, write: CheckpointWrite, append: Append) -> None:
        """Have it written; waits only when too many wait already.

        Args:
            write: What to write.
            append: Writes it. Not kept: its owner has this pipeline, and would be freed by the garbage
                collector alone.

        Raises:
            What an earlier write was refused with.
        """
        await self._until(MOST_BEHIND - 1)
        self._waiting.append(write)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(append))

    async def flush(self) -> None:
        """Wait until everything is durable.

        Raises:
            What a write was refused with.
        """
        await self._until(0)

    async def abandon(self) -> None:
        """Give up what waits; the one under way is written whole or not at all."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.failure = None

    async def _until(self, most: int) -> None:
        while len(self._waiting) > most and self.failure is None:
            self._moved.clear()
            await self._moved.wait()
        if self.failure is not None:
            raise self.failure

    async def _drain(self, append: Append) -> None:
        try:
            while self._waiting:
                committed = await append(self._waiting[0])
                self._waiting.popleft()
                self.stop_requested = self.stop_requested or committed.stop_requested
                self._moved.set()
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the run, which waits for it
            self.failure = error
        finally:
            self._moved.set()
