"""Locks by key within one process, across its threads and event loops."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Hashable

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class LocalLocks:
    """First come, first served; a key costs memory only while it is held."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: dict[Hashable, deque[_Waiter]] = {}

    async def acquire(self, key: Hashable, timeout_s: float) -> bool:
        """Wait for the lock; False when the time is over. Cancelling gives up the place in the queue."""
        with self._mutex:
            waiters = self._held.get(key)
            if waiters is None:
                self._held[key] = deque()
                return True
            if timeout_s <= 0:
                return False
            loop = asyncio.get_running_loop()
            waiter: _Waiter = (loop, loop.create_future())
            waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter[1]
        except TimeoutError:
            return not self._gave_up(key, waiter)
        except asyncio.CancelledError:
            if not self._gave_up(key, waiter):
                self.release(key)
            raise
        return True

    def release(self, key: Hashable) -> None:
        """Hand the lock to the next waiter, or let it go. Callable from any thread."""
        with self._mutex:
            waiters = self._held[key]
            while waiters:
                loop, future = waiters.popleft()
                try:
                    loop.call_soon_threadsafe(_wake, future)
                except RuntimeError:  # its loop was closed while it waited
                    continue
                return
            del self._held[key]

    def _gave_up(self, key: Hashable, waiter: _Waiter) -> bool:
        """Leave the queue; False if the lock was handed over at that very moment."""
        with self._mutex:
            try:
                self._held[key].remove(waiter)
            except (KeyError, ValueError):
                return False
            return True


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
