"""Fair admission: tenants take turns at a process's work, so that one's flood is its own queue alone."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Final

from agentflow_tenancy.errors import OverloadedError

DEFAULT_AT_ONCE: Final = 16


class _Place:
    """A request at work. One that takes long waits for something else: it keeps nobody out."""

    __slots__ = ("since", "tenant")

    def __init__(self, tenant: Hashable, since: float) -> None:
        self.tenant = tenant
        self.since = since


class _Waiter:
    __slots__ = ("place", "turn")

    def __init__(self, turn: asyncio.Future[None]) -> None:
        self.turn = turn
        self.place: _Place | None = None


class FairShare:
    """Places to work, of one event loop. A tenant has a share of them; what is more waits in its own queue.

    With room, entering awaits nothing and leaves no task or timer behind. When there is none, places go round
    the tenants that wait, one each.
    """

    def __init__(
        self,
        *,
        at_once: int = DEFAULT_AT_ONCE,
        share: int | None = None,
        most_waiting: int = 200,
        hold_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nobody is in.

        Args:
            at_once: Places.
            share: Of one tenant; half when None.
            most_waiting: Of one tenant; further ones are refused.
            hold_s: After so long a place counts as free again while somebody wants it.
            clock: Seconds.
        """
        self._at_once = at_once
        self._share = share or max(1, at_once // 2)
        self._most_waiting = most_waiting
        self._hold_s = hold_s
        self._clock = clock
        self._places: OrderedDict[_Place, None] = OrderedDict()
        self._of: dict[Hashable, int] = {}
        self._queues: OrderedDict[Hashable, deque[_Waiter]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def entered(self, tenant: Hashable) -> AsyncGenerator[None]:
        """Work for a tenant, for the length of a block.

        Raises:
            OverloadedError: Too many of the tenant wait already.
        """
        if tenant not in self._queues and self._has_room(tenant):
            place = self._take(tenant)
        else:
            place = await self._wait(tenant)
        try:
            yield
        finally:
            self._leave(place)

    def _has_room(self, tenant: Hashable) -> bool:
        return len(self._places) < self._at_once and self._of.get(tenant, 0) < self._share

    def _take(self, tenant: Hashable) -> _Place:
        place = _Place(tenant, self._clock())
        self._places[place] = None
        self._of[tenant] = self._of.get(tenant, 0) + 1
        return place

    async def _wait(self, tenant: Hashable) -> _Place:
        queue = self._queues.setdefault(tenant, deque())
        if len(queue) >= self._most_waiting:
            raise OverloadedError("Too many of this tenant's requests wait already; try again in a moment.")
        waiter = _Waiter(asyncio.get_running_loop().create_future())
        queue.append(waiter)
        self._watch()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.place is not None:
                self._leave(waiter.place)
            else:
                self._forget(tenant, waiter)
            raise
        assert waiter.place is not None  # noqa: S101 - who is woken was given one
        return waiter.place

    def _leave(self, place: _Place) -> None:
        if place in self._places:
            self._free(place)
        if self._queues:
            self._hand_out()

    def _free(self, place: _Place) -> None:
        del self._places[place]
        left = self._of[place.tenant] - 1
        if left:
            self._of[place.tenant] = left
        else:
            del self._of[place.tenant]

    def _hand_out(self) -> None:
        """Give what is free to those that wait: one a tenant, round after round."""
        passed = 0
        while passed < len(self._queues) and len(self._places) < self._at_once:
            tenant, queue = next(iter(self._queues.items()))
            self._queues.move_to_end(tenant)
            if self._of.get(tenant, 0) >= self._share:
                passed += 1
                continue
            waiter = queue.popleft()
            if not queue:
                del self._queues[tenant]
            passed = 0
            # One that was cancelled is in the queue until its task has run.
            if not waiter.turn.done():
                waiter.place = self._take(tenant)
                waiter.turn.set_result(None)

    def _forget(self, tenant: Hashable, waiter: _Waiter) -> None:
        queue = self._queues.get(tenant)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[tenant]

    def _watch(self) -> None:
        """While somebody waits, look at the oldest place when it has been held long enough."""
        if self._timer is None and self._places:
            oldest = next(iter(self._places))
            delay_s = max(0.0, oldest.since + self._hold_s - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._free_old)

    def _free_old(self) -> None:
        self._timer = None
        if not self._queues:
            return
        until = self._clock() - self._hold_s
        while self._places and (oldest := next(iter(self._places))).since <= until:
            self._free(oldest)
        self._hand_out()
        if self._queues:
            self._watch()
