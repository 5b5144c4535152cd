"""Calling scripts on Redis: those that wait at the same moment share a pipeline."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

# One is read while the other is built.
_LANES: Final = 2
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
        self._free_lanes = _LANES
        self._waiting: list[_Call] = []
        self._lanes: set[asyncio.Task[None]] = set()

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """The script's answer.

        Raises:
            RedisError, OSError, TimeoutError: None came.
        """
        words = (script.sha, len(keys), *keys, *arguments)
        if self._free_lanes and not self._waiting:
            self._free_lanes -= 1
            try:
                return await self._alone(script, words)
            finally:
                self._free_lanes += 1
                self._start_lane()
        call = _Call(script, words, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._start_lane()
        return await call.answer

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._lanes:
            await asyncio.wait(self._lanes)

    async def _alone(self, script: Script, words: Sequence[Any]) -> Any:
        try:
            return await self._client.evalsha(*words)
        except NoScriptError:
            return await self._client.eval(script.text, *words[1:])

    def _start_lane(self) -> None:
        if self._free_lanes and self._waiting:
            self._free_lanes -= 1
            task = asyncio.get_running_loop().create_task(self._drain())
            self._lanes.add(task)
            task.add_done_callback(self._lanes.discard)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                calls = self._waiting[:_MOST_IN_A_PIPELINE]
                del self._waiting[:_MOST_IN_A_PIPELINE]
                await self._send([call for call in calls if not call.answer.done()])
        finally:
            self._free_lanes += 1

    async def _send(self, calls: Sequence[_Call]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(*call.words)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            answers = [error] * len(calls)
        except asyncio.CancelledError:
            for call in calls:
                call.answer.cancel()
            raise
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, NoScriptError):
                await self._again(call)
            else:
                _settle(call, answer)

    async def _again(self, call: _Call) -> None:
        try:
            _settle(call, await self._client.eval(call.script.text, *call.words[1:]))
        except (RedisError, OSError, TimeoutError) as error:
            _settle(call, error)


def _settle(call: _Call, answer: Any) -> None:
    if call.answer.done():
        return
    if isinstance(answer, Exception):
        # One error may be the answer to many: raised in each, it would gather the traces of all.
        call.answer.set_exception(type(answer)(*answer.args))
    else:
        call.answer.set_result(answer)
