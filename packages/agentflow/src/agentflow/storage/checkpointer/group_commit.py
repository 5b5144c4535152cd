"""Group commit: writes that wait at the same moment go in one statement, acknowledged after its commit.

With an empty queue a write goes at once, by itself, so a lone writer waits for nobody. While the lanes are
busy writes collect, and the next free lane takes them: groups grow with the load, without any timer.

Those that a group answered come back together. They are shared out among the lanes that have nothing to
send, so that the client encodes one group while the server commits the other: else the first of them went by
itself, all others behind it in one group, and nothing overlapped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from operator import attrgetter
from typing import Final, Protocol

from agentflow.errors import AgentFlowError, StoreUnavailableError
from agentflow.storage.checkpointer.lanes import LANES, Lanes, tell

MAX_ITEMS: Final = 128
# What waits is not split into smaller groups: a statement's own cost is that of some 20 rows.
MIN_SHARE: Final = 32
MAX_BYTES: Final = 512 * 1024
# Larger ones would hold up everybody in their group: they go alone, beside the lanes.
LARGE_BYTES: Final = 64 * 1024
MAX_QUEUED: Final = 4096


class Groupable(Protocol):
    """What a write must tell.

    Attributes:
        key: Of the row it changes. Never twice in flight, and groups are sorted by it: two groups that
            lock rows in different order would deadlock.
        group: Only writes of the same group may share a statement.
        size_bytes: Of what it sends.
    """

    @property
    def key(self) -> tuple[int, int, str]:
        """See above."""
        ...

    @property
    def size_bytes(self) -> int:
        """See above."""
        ...

    @property
    def group(self) -> Hashable:
        """See above."""
        ...


_KEY: Final = attrgetter("item.key")


class _Waiting[Item, Answer]:
    """A queued write and who waits for it."""

    __slots__ = ("future", "item")

    def __init__(self, item: Item, future: asyncio.Future[Answer]) -> None:
        self.item = item
        self.future = future


class GroupCommit[Item: Groupable, Answer]:
    """The lanes and their queue, of one event loop."""

    def __init__(
        self,
        send_one: Callable[[Item], Awaitable[Answer]],
        send_group: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
    ) -> None:
        """Nothing is sent yet.

        Args:
            send_one: Writes one item; raises only for its sake.
            send_group: Writes several with different keys, all or none; the answers in their order.
        """
        self._send_one = send_one
        self._send_group = send_group
        self._lanes = Lanes(self._drain, self._is_wanted)
        self._queue: deque[_Waiting[Item, Answer]] = deque()
        self._in_flight: set[Hashable] = set()
        self._sending = 0
        self._large = asyncio.Semaphore(1)
        self._large_items = 0
        self._wanting_room: list[asyncio.Future[None]] = []

    async def submit(self, item: Item) -> Answer:
        """Write an item, alone or with others.

        Cancelled while it waits, it is not written; cancelled later, it is written whole or not at all.
        Waits for room when too many wait already.

        Raises:
            StoreUnavailableError: No answer: it may or may not be written.
            AgentFlowError: What its own data is to blame for.
        """
        if item.size_bytes > LARGE_BYTES:
            return await self._beside(item)
        if self._lanes.is_quiet and not self._queue and item.key not in self._in_flight:
            return await self._alone(item)
        while len(self._queue) >= MAX_QUEUED:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wanting_room.append(room)
            await room
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(item, future))
        if self._lanes.free:
            self._lanes.start()
        return await future

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._lanes.free < LANES or self._large_items:
            await self._lanes.close()
            async with self._large:  # behind every large one
                pass

    async def _beside(self, item: Item) -> Answer:
        self._large_items += 1
        try:
            async with self._large:
                return await self._send_one(item)
        finally:
            self._large_items -= 1

    async def _alone(self, item: Item) -> Answer:
        self._lanes.take()
        self._sending += 1
        self._in_flight.add(item.key)
        try:
            return await self._send_one(item)
        finally:
            self._sending -= 1
            self._in_flight.discard(item.key)
            self._lanes.give_back()

    def _is_wanted(self) -> bool:
        # What waits behind a thread that another lane has in flight is left to that lane.
        return any(waiting.item.key not in self._in_flight for waiting in self._queue)

    async def _drain(self) -> None:
        while group := self._next_group():
            if self._lanes.free and self._is_wanted():
                self._lanes.start()
            self._sending += 1
            try:
                await self._write(group)
            finally:
                self._sending -= 1
                self._in_flight.difference_update([waiting.item.key for waiting in group])
            # Those just answered come back with their next writes: let them join.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _next_group(self) -> list[_Waiting[Item, Answer]]:
        """What waits and may go together, ordered by key; the rest keeps its place."""
        group: list[_Waiting[Item, Answer]] = []
        of_group: Hashable = None
        left: list[_Waiting[Item, Answer]] = []
        # Behind a write that is left, a later one of its thread is left too.
        keys_left: set[Hashable] = set()
        size_bytes = 0
        share = -(-len(self._queue) // (LANES - self._sending))
        most = min(max(share, MIN_SHARE), MAX_ITEMS)
        while self._queue and len(group) < most and size_bytes < MAX_BYTES:
            waiting = self._queue.popleft()
            if waiting.future.done():
                continue
            item = waiting.item
            key = item.key
            if not group:
                of_group = item.group
            if item.group != of_group or key in self._in_flight or key in keys_left:
                left.append(waiting)
                keys_left.add(key)
                continue
            self._in_flight.add(key)
            size_bytes += item.size_bytes
            group.append(waiting)
        self._queue.extendleft(reversed(left))
        tell(self._wanting_room, None)
        self._wanting_room.clear()
        group.sort(key=_KEY)
        return group

    async def _write(self, group: Sequence[_Waiting[Item, Answer]]) -> None:
        items = [waiting.item for waiting in group]
        try:
            if len(group) == 1:
                answers: Sequence[Answer] = [await self._send_one(items[0])]
            else:
                answers = await self._send_group(items)
        except AgentFlowError as error:
            if len(group) == 1 or isinstance(error, StoreUnavailableError):
                tell([waiting.future for waiting in group], error)
                return
            await self._write_halves(group)
        except BaseException as error:  # whatever it is belongs to those who wait, who would wait for ever
            tell([waiting.future for waiting in group], error)
            if not isinstance(error, Exception):
                raise
        else:
            for waiting, answer in zip(group, answers, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(answer)

    async def _write_halves(self, group: Sequence[_Waiting[Item, Answer]]) -> None:
        """One of them is to blame for the group's refusal: the halves tell which, the others are written."""
        half = len(group) // 2
        try:
            await self._write(group[:half])
        except BaseException as error:  # cancelled: the other half is not sent any more
            tell([waiting.future for waiting in group[half:]], error)
            raise
        await self._write(group[half:])
