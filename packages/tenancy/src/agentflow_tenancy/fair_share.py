"""Fair admission: tenants take turns at a process's work, so that one's flood is its own queue alone."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Final

from agentflow_tenancy.errors import OverloadedError

DEFAULT_AT_ONCE: Final = 16


class _Place:
    """A request at work. One that takes long keeps no other tenant out, and if it may rest nobody at all."""

    __slots__ = ("is_counted", "rests", "since", "tenant")

    def __init__(self, tenant: Hashable, since: float, *, rests: bool) -> None:
        self.tenant = tenant
        self.since = since
        self.rests = rests
        self.is_counted = True


class _Waiter:
    __slots__ = ("place", "rests", "since", "turn")

    def __init__(self, turn: asyncio.Future[None], since: float, *, rests: bool) -> None:
        self.turn = turn
        self.since = since
        self.rests = rests
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
        longest_wait_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nobody is in.

        Args:
            at_once: Places.
            share: Of one tenant; half when None.
            most_waiting: Of one tenant; further ones are refused.
            hold_s: After so long a place counts as free again while somebody wants it: for other tenants, and
                for its own if what is at work there rests.
            longest_wait_s: Who waits for longer is refused.
            clock: Seconds.
        """
        self._at_once = at_once
        self._share = share or max(1, at_once // 2)
        self._most_waiting = most_waiting
        self._hold_s = hold_s
        self._longest_wait_s = longest_wait_s
        self._clock = clock
        self._places: OrderedDict[_Place, None] = OrderedDict()
        self._of: dict[Hashable, int] = {}
        self._queues: OrderedDict[Hashable, deque[_Waiter]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def entered(self, tenant: Hashable, *, rests: bool = False) -> AbstractAsyncContextManager[None]:
        """Work for a tenant, for the length of a block.

        Args:
            tenant: Whose.
            rests: It may wait for something that is not ours, such as a model. What does not, and takes
                long all the same, holds a connection to the database: of those a tenant has its share.

        Raises:
            OverloadedError: Too many of the tenant wait already, or this one has waited too long.
        """
        return _Entered(self, tenant, rests=rests)

    async def enter(self, tenant: Hashable, *, rests: bool) -> _Place:
        """See `entered`; to be left."""
        if tenant not in self._queues and self._has_room(tenant):
            return self._take(tenant, rests=rests)
        return await self._wait(tenant, rests=rests)

    def _has_room(self, tenant: Hashable) -> bool:
        return len(self._places) < self._at_once and self._of.get(tenant, 0) < self._share

    def _take(self, tenant: Hashable, *, rests: bool) -> _Place:
        place = _Place(tenant, self._clock(), rests=rests)
        self._places[place] = None
        self._of[tenant] = self._of.get(tenant, 0) + 1
        return place

    async def _wait(self, tenant: Hashable, *, rests: bool) -> _Place:
        queue = self._queues.setdefault(tenant, deque())
        if len(queue) >= self._most_waiting:
            raise OverloadedError("Too many of this tenant's requests wait already; try again in a moment.")
        waiter = _Waiter(asyncio.get_running_loop().create_future(), self._clock(), rests=rests)
        queue.append(waiter)
        self._watch()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.place is not None:
                self.leave(waiter.place)
            else:
                self._forget(tenant, waiter)
            raise
        assert waiter.place is not None  # noqa: S101 - who is woken was given one, or an error
        return waiter.place

    def leave(self, place: _Place) -> None:
        """The place is free."""
        self._places.pop(place, None)
        self._uncount(place)
        if self._queues:
            self._hand_out()

    def _uncount(self, place: _Place) -> None:
        if not place.is_counted:
            return
        place.is_counted = False
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
                waiter.place = self._take(tenant, rests=waiter.rests)
                waiter.turn.set_result(None)

    def _forget(self, tenant: Hashable, waiter: _Waiter) -> None:
        queue = self._queues.get(tenant)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[tenant]

    def _watch(self) -> None:
        """While somebody waits, look again when the oldest place, or the oldest waiter, is too old.

        One timer for all: a deadline of each one's own costs a light request more than all of its turn.
        """
        if self._timer is not None or not self._queues:
            return
        due = min(queue[0].since for queue in self._queues.values()) + self._longest_wait_s
        if self._places:
            due = min(due, next(iter(self._places)).since + self._hold_s)
        delay_s = max(0.0, due - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock()
        while self._queues and self._places:
            oldest = next(iter(self._places))
            if oldest.since > now - self._hold_s:
                break
            del self._places[oldest]
            if oldest.rests:
                self._uncount(oldest)
        self._hand_out()
        self._give_up(now - self._longest_wait_s)
        self._watch()

    def _give_up(self, since: float) -> None:
        """Refuse who waits since then or before."""
        for tenant, queue in list(self._queues.items()):
            while queue and queue[0].since <= since:
                turn = queue.popleft().turn
                if not turn.done():
                    turn.set_exception(
                        OverloadedError("Too much waits for this process; try again in a moment.")
                    )
            if not queue:
                del self._queues[tenant]


class _Entered:
    """A place for the length of a block. Hot, so no generator."""

    __slots__ = ("_place", "_rests", "_share", "_tenant")

    def __init__(self, share: FairShare, tenant: Hashable, *, rests: bool) -> None:
        self._share = share
        self._tenant = tenant
        self._rests = rests

    async def __aenter__(self) -> None:
        self._place = await self._share.enter(self._tenant, rests=self._rests)

    async def __aexit__(self, *_: object) -> None:
        self._share.leave(self._place)
