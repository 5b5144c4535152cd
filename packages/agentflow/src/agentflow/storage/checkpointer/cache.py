"""Redis on the hot path: a thread's lock, and its state for the next turn. Never a source of truth.

What comes out of here is only ever a run's start: its first write compares the head in Postgres, so an
entry that is old, or of another life of the thread, is found out before any node runs. Everybody who
only reads asks Postgres. So answers are the same with Redis on, off, flushed, stale or full of garbage.
When Redis is away every call says so at once, and costs at most one time-out a second.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import time
import uuid
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from agentflow.errors import ConfigurationError
from agentflow.storage.checkpointer import cache_scripts
from agentflow.storage.checkpointer.cache_codec import chunked, decode_entry, header_of, pack_text
from agentflow.storage.checkpointer.cache_types import Began, CachedBase, CacheUnavailableError, Keys, News
from agentflow.storage.checkpointer.redis_calls import Script, ScriptCalls
from agentflow.storage.checkpointer.types import Scope

logger = logging.getLogger("agentflow.cache")

_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_PROBE_EVERY_S: Final = 1.0
# A command that waited in a connection for longer than this was lost with it.
_LATEST_COMMAND_S: Final = 300.0
# A script holds up everybody else while it moves its arguments: longer contexts are read from Postgres.
_MAX_ENTRY_BYTES: Final = 8 * 1024 * 1024
_ALL: Final = CachedBase(head=-1)

_BEGIN: Final = Script(cache_scripts.BEGIN)
_EXTEND: Final = Script(cache_scripts.EXTEND)
_PUBLISH: Final = Script(cache_scripts.PUBLISH)
_RELEASE: Final = Script(cache_scripts.RELEASE)
_BURY: Final = Script(cache_scripts.BURY)


def client_from_url(redis_url: str, *, timeout_s: float) -> Redis:
    """A client that answers or fails within `timeout_s`, and does not retry by itself.

    Raises:
        ConfigurationError: Not a Redis URL.
    """
    url = redis_url.replace("valkeys://", "rediss://", 1).replace("valkey://", "redis://", 1)
    if not url.startswith(_SCHEMES):
        raise ConfigurationError(
            "redis_url must be redis://host:6379/0 (or rediss://, unix://), or None to run without Redis."
        )
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            max_connections=1000,
        )
    except ValueError:
        # Without its cause, which quotes the URL and the password in it.
        raise ConfigurationError("redis_url is not a URL that Redis understands.") from None


class ThreadCache:
    """Locks and states of threads of one database, in one Redis."""

    def __init__(self, client: Redis, instance_id: uuid.UUID, *, lease_s: float, ttl_s: float) -> None:
        """Nothing is sent yet.

        Args:
            client: Of this event loop.
            instance_id: The database's, part of every key.
            lease_s: A lock frees itself so long after its holder was last heard of.
            ttl_s: How long a state is kept after its last turn.
        """
        self._client = client
        self._instance = instance_id.hex
        self._lease_ms = int(lease_s * 1000)
        self._ttl_ms = max(1, int(ttl_s * 1000))
        self._away_until = 0.0
        self._unreleased: dict[str, tuple[Keys, float]] = {}
        self.degraded = False
        self._closed = False
        self._scripts = ScriptCalls(client)

    def serve(self, instance_id: uuid.UUID) -> None:
        """Hold those of another database from now on; nothing of the one before is found any more."""
        self._instance = instance_id.hex

    def keys(self, scope: Scope, thread_id: str) -> Keys:
        """The keys of a thread; its id is encoded, so that it can neither collide nor steer a shard."""
        tag = f"af:{{{scope.tenant_id.hex}:{self._digest(thread_id)}}}"
        # A new epoch or placement voids what is cached, and lets nobody into a thread that a run holds.
        return Keys(lock=f"{tag}:l", state=f"{tag}:s:{scope.placement}:{scope.epoch}")

    async def begin(self, keys: Keys, token: str, known: tuple[int, int] | None = None) -> Began:
        """Take the lock and get the state, unless it is the version the caller has. One round trip.

        Args:
            keys: Of the thread.
            token: Of this holder.
            known: thread_no and head of the version the caller has.

        Raises:
            CacheUnavailableError: Go on without.
        """
        version = "" if known is None else f"{known[0]} {known[1]}"
        taken, *found = await self._call(_BEGIN, keys, token, self._lease_ms, version)
        if not taken:
            return Began(taken=False, held_for_s=max(0, found[0]) / 1000)
        if found and isinstance(found[0], bytes):
            return Began(taken=True, is_known=True)
        entry = decode_entry(found[0]) if found else None
        if entry is None:
            return Began(taken=True)
        return Began(taken=True, snapshot=entry.snapshot, base=entry.base)

    async def extend(self, keys: Keys, token: str) -> bool:
        """Keep the lock; False if somebody else has it now. One round trip.

        Raises:
            CacheUnavailableError: Not known.
        """
        return bool(await self._call(_EXTEND, keys, token, self._lease_ms))

    async def publish(self, keys: Keys, token: str, news: News) -> CachedBase | None:
        """Cache the state unless a newer one is there, and release the lock.

        One round trip; two when the base is no longer there.

        Returns:
            How the entry is laid out now; None when it is too large to be cached.

        Raises:
            CacheUnavailableError: Neither happened, or is not known to have.
        """
        if sum(message.size_bytes() for message in news.snapshot.messages) > _MAX_ENTRY_BYTES:
            await self.release(keys, token, drop=True)
            return None
        if news.base is not None:
            added = await self._publish_from(keys, token, news, news.base)
            if added is not None:
                return added
        return await self._publish_from(keys, token, news, _ALL)

    async def release(self, keys: Keys, token: str, *, drop: bool) -> None:
        """Release the lock if it is ours; with `drop` forget the state too. One round trip.

        Raises:
            CacheUnavailableError: Not known to have happened; the lease ends by itself.
        """
        await self._call(_RELEASE, keys, token, int(drop))

    def release_later(self, keys: Keys, token: str) -> None:
        """Release a lock as soon as Redis answers again.

        A Redis that hangs carries out what it was sent once it goes on, for runs that ended long ago:
        without this their threads would be locked until the lease ends.
        """
        self._unreleased[token] = (keys, time.monotonic() + _LATEST_COMMAND_S)

    async def bury(self, keys: Keys, thread_no: int) -> None:
        """Forget the state of a thread that was deleted, for good. One round trip.

        Raises:
            CacheUnavailableError: Not known to have happened; a run that starts from it is refused.
        """
        await self._call(_BURY, keys, thread_no, self._ttl_ms)

    async def aclose(self) -> None:
        """Close the connections, once nothing is under way. Runs that end later leave none open either."""
        self._closed = True
        await self._scripts.close()
        await self._client.aclose()

    async def _publish_from(self, keys: Keys, token: str, news: News, base: CachedBase) -> CachedBase | None:
        snapshot = news.snapshot
        chunks = chunked(snapshot.messages, base.chunks)
        version = (snapshot.thread_no, snapshot.head, header_of(snapshot), pack_text(news.fields))
        was = (base.head, 2 + len(base.chunks), chunks.replaced)
        done = await self._call(_PUBLISH, keys, token, self._ttl_ms, *version, *was, *chunks.bodies)
        return CachedBase(snapshot.head, chunks.layout) if done else None

    def _digest(self, thread_id: str) -> str:
        """Of what tells threads of a tenant apart: it can neither collide nor steer a shard."""
        raw = hashlib.blake2b(f"{self._instance}:{thread_id}".encode(), digest_size=16).digest()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    async def _call(self, script: Script, keys: Keys, *arguments: Any) -> Any:
        if time.monotonic() < self._away_until:
            raise CacheUnavailableError(sent=False)
        try:
            answer = await self._scripts.call(script, keys.all(), arguments)
            self._note_answer()
            if self._unreleased:
                await self._release_those_left()
        except (RedisError, OSError, TimeoutError) as error:
            self._note_failure(error)
            raise CacheUnavailableError(sent=True) from error
        finally:
            # Behind everything that opens a connection.
            if self._closed:
                await self.aclose()
        return answer

    async def _release_those_left(self) -> None:
        left, self._unreleased = self._unreleased, {}
        now = time.monotonic()
        pipeline = self._client.pipeline(transaction=False)
        for token, (keys, until) in left.items():
            if now < until:
                pipeline.eval(_RELEASE.text, 2, *keys.all(), token, 0)
        try:
            await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._unreleased |= left
            self._note_failure(error)

    def _note_answer(self) -> None:
        if self.degraded:
            self.degraded = False
            logger.warning("Redis answers again: threads are cached and locked there.")

    def _note_failure(self, error: Exception) -> None:
        self._away_until = time.monotonic() + _PROBE_EVERY_S
        if not self.degraded:
            self.degraded = True
            kind = type(error).__name__
            logger.warning("Redis does not answer (%s): running on Postgres alone until it does.", kind)
