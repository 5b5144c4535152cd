"""Calling scripts on Redis: those that wait at the same moment share a pipeline."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from agentflow.storage.checkpointer.lanes import Lanes, tell

_MOST_IN_A_PIPELINE: Final = 200


class Script:
    """A script and the name that Redis gives it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class _Call:
    script: Script
    words: Sequence[Any]
    answer: asyncio.Future[Any]


class ScriptCalls:
    """Sends calls of scripts, of one event loop.

    With nothing under way a call goes at once. While calls are under way others collect and go together,
    which costs a fraction of the client's time for each.
    """

    def __init__(self, client: Redis) -> None:
        """Nothing is sent yet."""
        self._client = client
        self._waiting: list[_Call] = []
        self._lanes = Lanes(self._drain, lambda: bool(self._waiting))

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """The script's answer.

        Raises:
            RedisError, OSError, TimeoutError: None came.
        """
        words = (script.sha, len(keys), *keys, *arguments)
        if self._lanes.free and not self._waiting:
            self._lanes.take()
            try:
                return await self._alone(script, words)
            finally:
                self._lanes.give_back()
        call = _Call(script, words, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._lanes.free:
            self._lanes.start()
        return await call.answer

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._lanes.close()

    async def _alone(self, script: Script, words: Sequence[Any]) -> Any:
        try:
            return await self._client.evalsha(*words)
        except NoScriptError:
            return await self._client.eval(script.text, *words[1:])

    async def _drain(self) -> None:
        while self._waiting:
            calls = self._waiting[:_MOST_IN_A_PIPELINE]
            del self._waiting[:_MOST_IN_A_PIPELINE]
            await self._send([call for call in calls if not call.answer.done()])

    async def _send(self, calls: Sequence[_Call]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(*call.words)
        try:
            answers = await pipeline.execute(raise_on_error=False)
            for call, answer in zip(calls, answers, strict=True):
                tell([call.answer], await self._again(call) if isinstance(answer, NoScriptError) else answer)
        except BaseException as error:  # it belongs to those who wait, else for ever
            tell((call.answer for call in calls), error)
            if not isinstance(error, Exception):
                raise

    async def _again(self, call: _Call) -> Any:
        """The answer to a call whose script Redis did not know."""
        try:
            return await self._client.eval(call.script.text, *call.words[1:])
        except (RedisError, OSError, TimeoutError) as error:
            return error
