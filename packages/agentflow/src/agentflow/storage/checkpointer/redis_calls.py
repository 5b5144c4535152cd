"""Calling scripts on Redis, by the names that it gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from agentflow.storage.checkpointer.redis_wire import RedisWire
from agentflow.storage.checkpointer.storage_spans import script_span


class Script:
    """A script and the name that Redis gives it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class ScriptCalls:
    """Sends calls of scripts, of one event loop.

    Over one connection, which does not wait for the answer of one call before it sends the next.
    """

    def __init__(self, client: Redis) -> None:
        """Nothing is sent yet."""
        self._wire = RedisWire(client.connection_pool)

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """The script's answer.

        Raises:
            RedisError, OSError, TimeoutError: None came.
        """
        send, count = self._wire.send, len(keys)
        with script_span():
            try:
                return await send("EVALSHA", script.sha, count, *keys, *arguments)
            except NoScriptError:
                return await send("EVAL", script.text, count, *keys, *arguments)

    async def close(self) -> None:
        """Wait for what is under way. The connection is the client's, and closed with it."""
        await self._wire.close()
