"""The end of the server's processes: runs are told before requests are drained, and nobody is orphaned."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Final

# Granian lets requests end before it says a word to the application, so we say it ourselves.
_ABOUT_TO_STOP: Final = signal.SIGUSR1

_Handler = Callable[[int, FrameType | None], object]


def tell_workers_first() -> None:
    """In the main process, once the server has set its handlers: SIGTERM and Ctrl-C announce themselves."""
    # Inherited by the workers: who is told before it listens must not die of it.
    signal.signal(_ABOUT_TO_STOP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, _announced(handler))


@asynccontextmanager
async def told_to_stop(stop: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """In a worker: call `stop` when the process is about to end; end it when its parent is gone."""
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    async def stop_runs() -> None:
        await stop()

    loop.add_signal_handler(_ABOUT_TO_STOP, lambda: stopping.append(loop.create_task(stop_runs())))
    parent = multiprocessing.parent_process()
    if parent is not None:

        def orphaned() -> None:
            loop.remove_reader(parent.sentinel)
            os.kill(os.getpid(), signal.SIGTERM)

        loop.add_reader(parent.sentinel, orphaned)
    try:
        yield
    finally:
        if parent is not None:
            loop.remove_reader(parent.sentinel)
        loop.remove_signal_handler(_ABOUT_TO_STOP)
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)


def _announced(handler: _Handler) -> _Handler:
    def announce(number: int, frame: FrameType | None) -> None:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, _ABOUT_TO_STOP)
        handler(number, frame)

    return announce
