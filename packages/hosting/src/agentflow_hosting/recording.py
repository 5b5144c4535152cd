"""The record of a run that begins while the record is being made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agentflow_hosting.runs import RunRecord


class Recording:
    """A run's record under way: meanwhile the run gets its thread and reads it, but stores nothing.

    Whoever waits may be cancelled; the record is made all the same.
    """

    def __init__(self, making: Coroutine[Any, Any, RunRecord]) -> None:
        """Begin to make it.

        Args:
            making: Gives the record once it is durable.
        """
        self._made = asyncio.create_task(making)

    async def made(self) -> RunRecord:
        """The record, once it is durable.

        Raises:
            What making it failed with.
        """
        return await asyncio.shield(self._made)

    async def failure(self) -> Exception | None:
        """Why it could not be made, once that is known; None when it is there."""
        await asyncio.wait([self._made])
        error = asyncio.CancelledError() if self._made.cancelled() else self._made.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return error

    def on_failure(self, call: Callable[[], None]) -> None:
        """Have something called when it could not be made."""

        def ended(task: asyncio.Task[RunRecord]) -> None:
            if task.cancelled() or task.exception() is not None:
                call()

        self._made.add_done_callback(ended)
