"""The blocking faces: one background event loop for the whole process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from agentflow.errors import SyncInAsyncError


class _BackgroundLoop:
    """An event loop in a daemon thread, started by the first blocking call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop; the same one for every caller."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="agentflow-loop", daemon=True).start()
            return self._loop

    def forget(self) -> None:
        """In a forked child, where the thread does not live on: start anew when needed."""
        self._lock = threading.Lock()
        self._loop = None


_background = _BackgroundLoop()
os.register_at_fork(after_in_child=_background.forget)


def run_blocking[T](work: Coroutine[Any, Any, T], *, instead: str) -> T:
    """Run a coroutine on the background loop and wait for it.

    Args:
        work: The coroutine; closed unawaited when the call is refused.
        instead: The async method to name when called from a running loop.

    Raises:
        SyncInAsyncError: This thread runs an event loop, which waiting would block.

    Ctrl-C cancels the work and waits until it has ended.
    """
    _refuse_in_loop(work, instead)
    future = asyncio.run_coroutine_threadsafe(work, _background.get())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


def iterate_blocking[T](items: AsyncIterator[T], *, instead: str) -> Iterator[T]:
    """Iterate an async iterator from blocking code; closing early closes it too.

    Raises:
        SyncInAsyncError: As for `run_blocking`.
    """
    try:
        while True:
            try:
                yield run_blocking(_next(items), instead=instead)
            except StopAsyncIteration:
                return
    finally:
        run_blocking(_close(items), instead=instead)


async def _next[T](items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _close(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()


def _refuse_in_loop(work: Coroutine[Any, Any, Any], instead: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    work.close()
    raise SyncInAsyncError(
        f"An event loop is running in this thread: use `{instead}` here, which does not block it."
    )
