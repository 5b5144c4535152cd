"""A thread's lock in Redis, kept alive while a run holds it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agentflow.storage.checkpointer.cache_types import (
    Began,
    CachedBase,
    CacheUnavailableError,
    Keys,
    News,
)
from agentflow.utils.random_ids import random_hex

if TYPE_CHECKING:
    from agentflow.storage.checkpointer.cache import ThreadCache

_FIRST_POLL_S: Final = 0.01
_LONGEST_POLL_S: Final = 0.1


class Lease:
    """One run's lock on one thread.

    Without an answer from Redis the run goes on: the head in Postgres is what protects the thread,
    the lock only saves work that would be refused.

    Attributes:
        lost: Somebody else holds the lock now; nothing more may be written.
        on_lost: Called when that is found out.
    """

    def __init__(self, cache: ThreadCache, keys: Keys, *, lease_s: float) -> None:
        """Nothing is taken yet."""
        self._cache = cache
        self._keys = keys
        self._beat_s = lease_s / 3
        self._token = random_hex()
        self._beating: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Whether Redis may think that we hold the lock: also when a call was cut or cancelled.
        self._may_hold = False
        self.lost = False
        self.on_lost: Callable[[], None] | None = None

    async def take(self, wait_s: float, known: tuple[int, int] | None = None) -> Began | None:
        """Wait for the lock, `wait_s` at most, by asking every 10 to 100 ms.

        Args:
            wait_s: How long to wait.
            known: thread_no and head of the version the caller has.

        Returns:
            What the cache said with the lock; nothing but `taken` while Redis is away. None when the
            time is over.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wait_s
        poll_s = _FIRST_POLL_S
        while True:
            self._may_hold = True
            try:
                began = await self._cache.begin(self._keys, self._token, known)
            except CacheUnavailableError as error:
                self._may_hold = error.sent
                self._schedule()
                return Began(taken=True, is_degraded=True)
            if began.taken:
                self._schedule()
                return began
            self._may_hold = False
            left_s = give_up_at - loop.time()
            if left_s <= 0:
                return None
            await asyncio.sleep(min(poll_s * random.uniform(0.5, 1.0), left_s))
            poll_s = min(2 * poll_s, _LONGEST_POLL_S)

    async def end(self, news: News | None, *, drop: bool) -> CachedBase | None:
        """Cache the state if it is given, or drop it, and release the lock. Redis being away is no error.

        Returns:
            How what was cached is laid out.
        """
        self._stop_beating()
        try:
            if news is not None and not drop:
                return await self._cache.publish(self._keys, self._token, news)
            if drop or self._may_hold:
                await self._cache.release(self._keys, self._token, drop=drop)
        except CacheUnavailableError:
            if self._may_hold:
                self._cache.release_later(self._keys, self._token)
        return None

    def _schedule(self) -> None:
        # A timer, not a task: most runs end before the first beat.
        self._timer = asyncio.get_running_loop().call_later(self._beat_s, self._start_beat)

    def _start_beat(self) -> None:
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        self._may_hold = True
        # Without an answer it is not known to be lost, and the head decides.
        with suppress(CacheUnavailableError):
            self.lost = not await self._cache.extend(self._keys, self._token)
        if not self.lost:
            self._schedule()
        elif self.on_lost is not None:
            self.on_lost()

    def _stop_beating(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None  # it holds this lease, which would be freed by the garbage collector alone
        if self._beating is not None:
            self._beating.cancel()
