"""Cancelling at each await, one by one: what a test that waits for a while would only meet by luck."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any


@types.coroutine
def at_step[T](step: int, strike: Callable[[], object], work: Awaitable[T]) -> Generator[Any, Any, T]:
    """Await `work`, and call `strike` when it suspends for the `step`-th time, from 0.

    A work that suspends less often is not struck.
    """
    steps = work.__await__()
    resume = steps.__next__
    count = 0
    while True:
        try:
            waiting_for = resume()
        except StopIteration as done:
            answer: T = done.value
            return answer
        if count == step:
            strike()
        count += 1
        try:
            yield waiting_for
        except BaseException as error:  # noqa: BLE001 - the work's own affair
            resume = _throwing(steps, error)
        else:
            resume = steps.__next__


def _throwing(steps: Generator[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: steps.throw(error)


async def cancelled_at(step: int, work: Awaitable[object]) -> bool:
    """Whether `work` suspended so often that it was cancelled, at its `step`-th suspension."""
    struck = False

    def strike() -> None:
        nonlocal struck
        struck = True
        task.cancel()

    async def run() -> None:
        await at_step(step, strike, work)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return struck
