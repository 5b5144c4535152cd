"""Lanes: how many calls are under way at once, while others wait to be sent together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any, Final

# Two: one group is built while the other is under way. More make smaller groups and contend.
LANES: Final = 2


class Lanes:
    """Which lanes are free, of one event loop.

    Who finds one free may `take` it and send for itself, without the price of a task; else what waits is sent
    by the task of `start`. Either way the lane goes on with what waits when it is given back.

    Attributes:
        free: How many.
    """

    __slots__ = ("_closers", "_drain", "_draining", "_is_wanted", "_tasks", "free")

    def __init__(self, drain: Callable[[], Coroutine[Any, Any, None]], is_wanted: Callable[[], bool]) -> None:
        """All are free.

        Args:
            drain: Sends what waits, until nothing does.
            is_wanted: Whether something waits that a lane could take.
        """
        self.free = LANES
        self._draining = 0
        self._drain = drain
        self._is_wanted = is_wanted
        self._tasks: set[asyncio.Task[None]] = set()
        self._closers: list[asyncio.Future[None]] = []

    @property
    def is_quiet(self) -> bool:
        """Whether one is free and none sends what waits: then a call need not wait for others to join it."""
        return self.free > 0 and not self._draining

    def take(self) -> None:
        """A free lane, for a call that its caller sends; to be given back."""
        self.free -= 1

    def give_back(self) -> None:
        """The lane is free, or goes on with what waits."""
        self.free += 1
        if self._is_wanted():
            self.start()
        elif self._closers and self.free == LANES:
            tell(self._closers, None)
            self._closers.clear()

    def start(self) -> None:
        """Send what waits, in a free lane."""
        self.free -= 1
        self._draining += 1
        # In nobody's context: what it sends is of all who wait, and whoever came first may be done by then.
        task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait until nothing is under way."""
        while self.free < LANES:
            closer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._closers.append(closer)
            await closer

    async def _run(self) -> None:
        try:
            await self._drain()
        finally:
            self._draining -= 1
            self.give_back()


def tell(waiters: Iterable[asyncio.Future[Any]], answer: Any) -> None:
    """Give all who still wait the answer.

    An error is raised in each as one of its own: a single one would gather the traces of all. A cancellation
    cancels them.
    """
    for waiter in waiters:
        if waiter.done():
            continue
        if isinstance(answer, asyncio.CancelledError):
            waiter.cancel()
        elif isinstance(answer, BaseException):
            waiter.set_exception(same_error(answer))
        else:
            waiter.set_result(answer)


def same_error[E: BaseException](error: E) -> E:
    """Another error that says the same, whatever its type is made from."""
    own = type(error).__new__(type(error), *error.args)
    # Past a constructor that takes something else than what the error keeps.
    builtin = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    builtin.__init__(own, *error.args)  # type: ignore[misc]  # of the type that `own` is of
    own.__dict__.update(error.__dict__)
    own.__cause__ = error.__cause__
    return own.with_traceback(error.__traceback__)
