"""The reference for warm reads: redis-py, one GET of the whole state's bytes."""

from typing import Self

from redis.asyncio import Redis

from tests.benchmarks.systems.rows import whole_state
from tests.benchmarks.workload import Chat


class RedisValues:
    """A value a thread; nothing is decoded."""

    def __init__(self, redis_url: str) -> None:
        """Nothing is opened yet."""
        self._redis = Redis.from_url(redis_url)

    async def __aenter__(self) -> Self:
        """Connections are opened by those who need one."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        await self._redis.aclose()

    async def store(self, thread_id: str, chat: Chat) -> None:
        """Keep a finished thread."""
        await self._redis.set(f"reference:{thread_id}", whole_state(chat, len(chat.steps) - 1))

    async def read(self, thread_id: str) -> bytes:
        """Its bytes."""
        value = await self._redis.get(f"reference:{thread_id}")
        assert isinstance(value, bytes)
        return value
