"""Answers remembered for less than a second, and asked for once however many wait."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Answer[V]:
    asked_at: float
    value: V


@dataclass(frozen=True, slots=True)
class _Asking[V]:
    asked_at: float
    task: asyncio.Task[V]


class Lookups[K: Hashable, V]:
    """What a store said a moment ago. Of one event loop."""

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V]],
        *,
        worth: Callable[[V], bool],
        remember_s: float,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is remembered yet.

        What is in steady use is asked for again before it would be forgotten, so that nobody waits for that.

        Args:
            ask: The store's answer.
            worth: Whether an answer is remembered. Refusals are not, so that nobody waits for one to be over.
            remember_s: For how long, from when it was asked for: a slow answer must not live longer.
            most: Answers kept; the oldest goes.
            clock: Seconds, never going back.
        """
        self._ask = ask
        self._worth = worth
        self._remember_s = remember_s
        self._most = most
        self._clock = clock
        self._answers: OrderedDict[K, _Answer[V]] = OrderedDict()
        self._asking: dict[K, _Asking[V]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    async def get(self, key: K, *, within_s: float | None = None) -> V:
        """The answer, no older than `remember_s`, or `within_s` when that is less.

        Raises what the store raises. One question at a time for a key, shared by all who wait.
        """
        age = self._remember_s if within_s is None else min(within_s, self._remember_s)
        youngest = self._clock() - age
        known = self._answers.get(key)
        if known is not None and known.asked_at > youngest:
            if known.asked_at <= youngest + age / 2:
                self._join(key, youngest)
            return known.value
        # Shielded: who asked first may go away, the others wait on.
        return await asyncio.shield(self._join(key, youngest).task)

    def _join(self, key: K, youngest: float) -> _Asking[V]:
        """The question under way, unless it was asked so long ago that its answer may be too old."""
        asking = self._asking.get(key)
        return self._start(key) if asking is None or asking.asked_at <= youngest else asking

    def _start(self, key: K) -> _Asking[V]:
        asked_at = self._clock()
        task = asyncio.get_running_loop().create_task(self._asked(key, asked_at))
        asking = self._asking[key] = _Asking(asked_at, task)
        task.add_done_callback(lambda _: self._end(key, asking))
        return asking

    async def _asked(self, key: K, asked_at: float) -> V:
        value = await self._ask(key)
        if self._worth(value):
            self._keep(key, _Answer(asked_at, value))
        else:
            self._answers.pop(key, None)
        return value

    def _keep(self, key: K, answer: _Answer[V]) -> None:
        older = self._answers.pop(key, None)
        self._answers[key] = answer if older is None or older.asked_at < answer.asked_at else older
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def _end(self, key: K, asking: _Asking[V]) -> None:
        if not asking.task.cancelled():
            asking.task.exception()  # seen, also when everybody who asked has gone
        if self._asking.get(key) is asking:
            del self._asking[key]
