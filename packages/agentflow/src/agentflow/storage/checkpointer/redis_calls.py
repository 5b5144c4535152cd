"""Calling scripts on Redis: those that wait at the same moment share a pipeline."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

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
    which costs a fraction of the client's time for each. Each lane keeps its connection: to take one from the
    client's pool and to give it back costs a third of the time that a call does.
    """

    def __init__(self, client: Redis) -> None:
        """Nothing is sent yet."""
        self._pool = client.connection_pool
        self._idle: list[AbstractConnection] = []
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
        """Wait for what is under way. The connections are the client's, and closed with it."""
        await self._lanes.close()

    async def _alone(self, script: Script, words: Sequence[Any]) -> Any:
        [answer] = await self._exchange([("EVALSHA", *words)])
        if isinstance(answer, NoScriptError):
            [answer] = await self._exchange([("EVAL", script.text, *words[1:])])
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    async def _drain(self) -> None:
        while self._waiting:
            calls = self._waiting[:_MOST_IN_A_PIPELINE]
            del self._waiting[:_MOST_IN_A_PIPELINE]
            await self._send([call for call in calls if not call.answer.done()])

    async def _send(self, calls: Sequence[_Call]) -> None:
        try:
            answers = await self._exchange([("EVALSHA", *call.words) for call in calls])
            unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            again = [calls[n] for n in unknown]
            if again:
                texts = [("EVAL", call.script.text, *call.words[1:]) for call in again]
                for n, answer in zip(unknown, await self._exchange(texts), strict=True):
                    answers[n] = answer
            for call, answer in zip(calls, answers, strict=True):
                tell([call.answer], answer)
        except BaseException as error:  # it belongs to those who wait, else for ever
            tell((call.answer for call in calls), error)
            if not isinstance(error, Exception):
                raise

    async def _exchange(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers of Redis to each, refusals among them.

        Raises:
            RedisError, OSError, TimeoutError: None came.
        """
        connection = await self._take()
        try:
            await connection.send_packed_command(b"".join(map(_packed, commands)))
            # Whatever but an answer ends a reading has closed the connection: no answer is left in it.
            return [await _answer(connection) for _ in commands]
        finally:
            self._idle.append(connection)

    async def _take(self) -> AbstractConnection:
        """A connection that is open, also when Redis has closed the one that was kept."""
        if not self._idle:
            made: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # theirs
            return made
        connection = self._idle.pop()
        try:
            if not await _is_fit(connection):
                await connection.disconnect()
                await connection.connect()  # type: ignore[no-untyped-call]  # theirs
        except BaseException:  # it may have been cancelled before it had introduced itself
            await connection.disconnect(nowait=True)
            self._idle.append(connection)
            raise
        return connection


def _packed(command: Sequence[Any]) -> bytes:
    """As the client itself would, which packs by its own Python even where hiredis is: ten times the time."""
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # their stub says tuples of one
    return packed


async def _is_fit(connection: AbstractConnection) -> bool:
    """Open, with nothing left in it. The pool does not ask for that where it expects notifications."""
    if not connection.is_connected:
        return False
    # Named so since redis-py 8.
    can_read = getattr(connection, "can_read", None) or connection.can_read_destructive
    try:
        return not await can_read()
    except (RedisError, OSError):
        return False


async def _answer(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as refusal:
        return refusal
