"""The end of a worker process: runs are told before requests are drained, and nobody is orphaned."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Final

_ENDS: Final = (signal.SIGTERM, signal.SIGINT)

_Handler = Callable[[int, FrameType | None], object]


@asynccontextmanager
async def told_to_stop(stop: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """In a worker: call `stop` when the process is about to end; end it when its parent is gone.

    The server lets requests end before it says a word to the application, so we hear its signals, too.
    """
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    async def stop_runs() -> None:
        await stop()

    def begin() -> None:
        if not stopping:
            stopping.append(loop.create_task(stop_runs()))

    with _heard(begin), _ended_with_parent():
        try:
            yield
        finally:
            for task in stopping:
                task.cancel()
            await asyncio.gather(*stopping, return_exceptions=True)


@contextmanager
def _heard(begin: Callable[[], None]) -> Iterator[None]:
    """Each signal that ends the process begins it in the loop, and then does what it did before."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _ENDS}

    def announcing(handler: _Handler) -> _Handler:
        def announce(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(begin)
            handler(number, frame)

        return announce

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, announcing(handler))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ended_with_parent() -> Iterator[None]:
    loop = asyncio.get_running_loop()
    parent = multiprocessing.parent_process()
    if parent is None:
        yield
        return

    def orphaned() -> None:
        loop.remove_reader(parent.sentinel)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(parent.sentinel, orphaned)
    try:
        yield
    finally:
        loop.remove_reader(parent.sentinel)
