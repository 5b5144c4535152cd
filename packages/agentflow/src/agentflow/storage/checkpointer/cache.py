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
from agentflow.storage.checkpointer.cache_codec import decode_snapshot, encode_message
from agentflow.storage.checkpointer.cache_types import Began, CachedBase, CacheUnavailableError, Keys, News
from agentflow.storage.checkpointer.types import Scope

logger = logging.getLogger("agentflow.cache")

_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_PROBE_EVERY_S: Final = 1.0
# A command that waited in a connection for longer than this was lost with it.
_LATEST_COMMAND_S: Final = 300.0
_LONGEST_PLAIN_KEY: Final = 120
# A script holds up everybody else while it moves its arguments: longer contexts are read from Postgres.
_MAX_ENTRY_BYTES: Final = 8 * 1024 * 1024
_ALL: Final = CachedBase(head=-1, messages=0)


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
        self._begin = client.register_script(cache_scripts.BEGIN)
        self._extend = client.register_script(cache_scripts.EXTEND)
        self._publish = client.register_script(cache_scripts.PUBLISH)
        self._release = client.register_script(cache_scripts.RELEASE)
        self._bury = client.register_script(cache_scripts.BURY)

    def keys(self, scope: Scope, thread_id: str) -> Keys:
        """The keys of a thread; its id is encoded, so that it can neither collide nor steer a shard."""
        owner = f"{scope.epoch}:{scope.placement}:{scope.tenant_id.hex}"
        tag = f"af:{{{self._instance}:{owner}:{_encoded(thread_id)}}}"
        return Keys(lock=f"{tag}:l", state=f"{tag}:s", messages=f"{tag}:m")

    async def begin(self, keys: Keys, token: str) -> Began:
        """Take the lock and get the state. One round trip.

        Raises:
            CacheUnavailableError: Go on without.
        """
        answer = await self._call(self._begin, keys, token, self._lease_ms)
        if not answer[0]:
            return Began(taken=False, held_for_s=max(0, answer[1]) / 1000)
        return Began(taken=True, snapshot=decode_snapshot(answer[1], answer[2]))

    async def extend(self, keys: Keys, token: str) -> bool:
        """Keep the lock; False if somebody else has it now. One round trip.

        Raises:
            CacheUnavailableError: Not known.
        """
        return bool(await self._call(self._extend, keys, token, self._lease_ms))

    async def publish(self, keys: Keys, token: str, news: News) -> None:
        """Cache the state unless a newer one is there, and release the lock.

        One round trip; two when the base is no longer there.

        Raises:
            CacheUnavailableError: Neither happened, or is not known to have.
        """
        if sum(message.size_bytes() for message in news.snapshot.messages) > _MAX_ENTRY_BYTES:
            await self.release(keys, token, drop=True)
        elif news.base is None or not await self._publish_from(keys, token, news, news.base):
            await self._publish_from(keys, token, news, _ALL)

    async def release(self, keys: Keys, token: str, *, drop: bool) -> None:
        """Release the lock if it is ours; with `drop` forget the state too. One round trip.

        Raises:
            CacheUnavailableError: Not known to have happened; the lease ends by itself.
        """
        await self._call(self._release, keys, token, int(drop))

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
        await self._call(self._bury, keys, thread_no, self._ttl_ms)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _publish_from(self, keys: Keys, token: str, news: News, base: CachedBase) -> bool:
        snapshot = news.snapshot
        rows = [encode_message(message) for message in snapshot.messages[base.messages :]]
        state = (snapshot.thread_no, snapshot.head, snapshot.next_pos, news.fields, len(snapshot.messages))
        return bool(
            await self._call(
                self._publish, keys, token, self._ttl_ms, *state, base.head, base.messages, *rows
            )
        )

    async def _call(self, script: Any, keys: Keys, *arguments: Any) -> Any:
        if time.monotonic() < self._away_until:
            raise CacheUnavailableError(sent=False)
        try:
            answer = await script(keys.all(), arguments)
        except (RedisError, OSError, TimeoutError) as error:
            self._note_failure(error)
            raise CacheUnavailableError(sent=True) from error
        if self.degraded:
            self.degraded = False
            logger.warning("Redis answers again: threads are cached and locked there.")
        if self._unreleased:
            await self._release_those_left()
        return answer

    async def _release_those_left(self) -> None:
        left, self._unreleased = self._unreleased, {}
        now = time.monotonic()
        pipeline = self._client.pipeline(transaction=False)
        for token, (keys, until) in left.items():
            if now < until:
                await self._release(keys.all(), [token, 0], client=pipeline)
        try:
            await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._unreleased |= left
            self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        self._away_until = time.monotonic() + _PROBE_EVERY_S
        if not self.degraded:
            self.degraded = True
            kind = type(error).__name__
            logger.warning("Redis does not answer (%s): running on Postgres alone until it does.", kind)


def _encoded(thread_id: str) -> str:
    raw = thread_id.encode()
    if len(raw) > _LONGEST_PLAIN_KEY:
        return "h" + hashlib.blake2b(raw, digest_size=32).hexdigest()
    return "b" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
