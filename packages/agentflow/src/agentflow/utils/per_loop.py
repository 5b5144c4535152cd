"""Resources that belong to one event loop each, closed when their loop shuts down.

Connections of asyncio drivers work only in the loop they were made in. A program may have several:
the background loop of the blocking calls, its own, and a new one for each `asyncio.run`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Entry[T]:
    resource: T
    keeper: AsyncGenerator[None]


class PerLoop[T]:
    """One resource a loop, made when first asked for."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        """Nothing is made yet.

        Args:
            make: Called inside the loop the resource will belong to; must not block.
            close: Awaited inside that loop.
        """
        self._make = make
        self._close = close
        self._mutex = threading.Lock()
        self._entries: dict[asyncio.AbstractEventLoop, _Entry[T]] = {}

    async def get(self) -> T:
        """This loop's resource."""
        loop = asyncio.get_running_loop()
        entry = self._entries.get(loop)
        if entry is not None:
            return entry.resource
        keeper = self._keep(loop)
        entry = _Entry(self._make(), keeper)
        with self._mutex:
            self._forget_closed()
            self._entries[loop] = entry
        # Once started, the generator is known to the loop, whose shutdown awaits its `finally`.
        await anext(keeper)
        return entry.resource

    def resources(self) -> list[T]:
        """Those made and not yet closed, of every loop."""
        with self._mutex:
            return [entry.resource for entry in self._entries.values()]

    async def close(self) -> None:
        """Close this loop's resource and those of other loops that still run."""
        here = asyncio.get_running_loop()
        with self._mutex:
            self._forget_closed()
            entries = dict(self._entries)
        for loop, entry in entries.items():
            if loop is here:
                await entry.keeper.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_aclose(entry.keeper), loop))

    def close_soon(self) -> None:
        """Ask each loop that runs to close its resource; returns at once.

        From any thread and inside the garbage collector, so it takes no lock.
        """
        for loop, entry in list(self._entries.items()):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(_aclose(entry.keeper), loop)

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._mutex:
                entry = self._entries.pop(loop, None)
            if entry is not None:
                await self._close(entry.resource)

    def _forget_closed(self) -> None:
        for loop in [loop for loop in self._entries if loop.is_closed()]:
            del self._entries[loop]


async def _aclose(keeper: AsyncGenerator[None]) -> None:
    await keeper.aclose()
