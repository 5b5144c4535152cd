"""Tells readers that a run said something: those of this process what, those of others that."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentflow.storage.checkpointer.redis_wire import RedisWire
from agentflow_hosting.runs import Chunk

logger = logging.getLogger("agentflow.runs")

_CHANNEL: Final = "af:runs:said"
_AWAY: Final = (RedisError, OSError, TimeoutError)
_TRY_AGAIN_S: Final = 1.0
# What readers of this process find here without asking Postgres.
_MOST_BYTES: Final = 64 * 1024


class Topic:
    """A run that is at work in this process, or that somebody here reads along.

    Attributes:
        at_work: Here, so that every chunk comes by.
        kept: While it is at work here: how many chunks of it are kept by now.
        readers: How many wait for it.
    """

    __slots__ = ("_bytes", "_chunks", "_news", "at_work", "kept", "readers")

    def __init__(self) -> None:
        """Nothing was said."""
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0
        self._news: asyncio.Event | None = None
        self.at_work = False
        self.kept: int | None = None
        self.readers = 0

    def say(self, chunks: Sequence[Chunk]) -> None:
        """Keep what is durable by now, for as long as there is room, and wake who waits.

        Also before anybody reads: whoever asked for the run is about to.
        """
        if self._chunks and chunks and chunks[0].seq != self._chunks[-1].seq + 1:
            # Another process went on with the run meanwhile: what is kept here has no gap.
            self._chunks.clear()
            self._bytes = 0
        for chunk in chunks:
            self._chunks.append(chunk)
            self._bytes += len(chunk.body)
            self.kept = chunk.seq + 1
        while self._bytes > _MOST_BYTES and len(self._chunks) > 1:
            self._bytes -= len(self._chunks.popleft().body)
        self.wake()

    def wake(self) -> None:
        """Whoever waits shall look again."""
        if self._news is not None:
            self._news.set()
            self._news = None

    def after(self, seq: int) -> list[Chunk]:
        """What comes right behind a chunk; [] when that is not here."""
        if not self._chunks or not self._chunks[0].seq <= seq + 1 <= self._chunks[-1].seq:
            return []
        return [chunk for chunk in self._chunks if chunk.seq > seq]

    def news(self) -> asyncio.Event:
        """Set by the next word: ask for it before looking."""
        if self._news is None:
            self._news = asyncio.Event()
        return self._news


class RunFeed:
    """The topics of one process. With Redis other processes hear of each other's runs at once."""

    def __init__(self, redis: Redis | None) -> None:
        """Nobody listens yet.

        Args:
            redis: Carries runs' ids only; None has readers of other processes' runs ask now and then.
        """
        self._redis = redis
        # The client's own calls take as long as all else that a chunk costs here.
        self._wire = None if redis is None else RedisWire(redis.connection_pool)
        self._topics: dict[uuid.UUID, Topic] = {}
        self._listening: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._to_tell: set[uuid.UUID] = set()
        self.hears_others = False

    @contextmanager
    def at_work(self, run_id: uuid.UUID) -> Iterator[Topic]:
        """For the length of a block this process carries out a run."""
        with self._topic(run_id) as topic:
            topic.at_work = True
            try:
                yield topic
            finally:
                topic.at_work, topic.kept = False, None
                topic.wake()
                self.tell_others(run_id)

    @contextmanager
    def reading(self, run_id: uuid.UUID) -> Iterator[Topic]:
        """For the length of a block somebody here reads a run along."""
        with self._topic(run_id) as topic:
            topic.readers += 1
            if not topic.at_work:
                self._listen()
            try:
                yield topic
            finally:
                topic.readers -= 1

    @contextmanager
    def _topic(self, run_id: uuid.UUID) -> Iterator[Topic]:
        topic = self._topics.setdefault(run_id, Topic())
        try:
            yield topic
        finally:
            if not topic.at_work and topic.readers <= 0:
                self._topics.pop(run_id, None)

    def tell_others(self, run_id: uuid.UUID) -> None:
        """Have other processes' readers of a run look again. Returns at once, and forgives Redis."""
        if self._wire is None:
            return
        self._to_tell.add(run_id)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def aclose(self) -> None:
        """Tell and listen no more."""
        for task in (self._listening, self._telling):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._listening = self._telling = None
        if self._wire is not None:
            await self._wire.close()

    async def _tell(self) -> None:
        while self._to_tell and self._wire is not None:
            ids, self._to_tell = self._to_tell, set()
            with suppress(*_AWAY):
                await self._wire.send("PUBLISH", _CHANNEL, b"".join(run_id.bytes for run_id in ids))

    def _listen(self) -> None:
        if self._redis is not None and (self._listening is None or self._listening.done()):
            self._listening = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        while self._redis is not None:
            with suppress(*_AWAY):
                await self._hear_until_away(self._redis)
            self.hears_others = False
            self._wake_all()
            await asyncio.sleep(_TRY_AGAIN_S)

    async def _hear_until_away(self, redis: Redis) -> None:
        async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(_CHANNEL)
            self.hears_others = True
            # What was said before we listened.
            self._wake_all()
            while True:
                message = await subscription.get_message(timeout=5.0)
                if message is not None:
                    self._heard(message["data"])

    def _heard(self, ids: bytes) -> None:
        for start in range(0, len(ids) - 15, 16):
            topic = self._topics.get(uuid.UUID(bytes=bytes(ids[start : start + 16])))
            if topic is not None and not topic.at_work:
                topic.wake()

    def _wake_all(self) -> None:
        for topic in self._topics.values():
            topic.wake()
