"""A connection to Redis that takes commands while answers are under way, without a task or a timer for each.

The client makes it (address, TLS, credentials, database) and closes it; once it is open, what goes over it is
ours: a command is written at once, or with others of its turn of the loop while answers are under way. The
answers come in the order of the commands, and are given to who waits for them. That is a third of the
client's own time for a command.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from typing import Any, Final

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from agentflow.storage.checkpointer.lanes import same_error

# A loop that was busy while the time ran out reads first what came meanwhile.
_GRACE_S: Final = 0.02


class RedisWire:
    """One connection, of one event loop. It is opened when it is needed, and anew after it was lost."""

    def __init__(self, client_pool: Any) -> None:
        """Nothing is opened yet.

        Args:
            client_pool: Of the client that makes the connection, and closes it when it is closed itself.
        """
        self._pool = client_pool
        self._connection: AbstractConnection | None = None
        self._opening: asyncio.Task[_Line] | None = None
        self._line: _Line | None = None

    async def send(self, *command: Any) -> Any:
        """The answer of Redis.

        Raises:
            ResponseError: Redis refuses. The connection goes on.
            RedisError, OSError, TimeoutError: None came, within the client's `socket_timeout`.
        """
        line = self._line
        if line is None or not (line.is_busy or await line.is_fit()):
            line = await self._open()
        return await line.ask(_packed(command))

    async def close(self) -> None:
        """Wait for what is under way. The connection is the client's, and closed with it."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._line is not None:
            await self._line.drained()

    async def _open(self) -> _Line:
        """By one for all who want it at the same moment; they share its failure, too."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._connect())
        try:
            return await asyncio.shield(self._opening)
        except (RedisError, OSError) as error:
            raise same_error(error) from None

    async def _connect(self) -> _Line:
        try:
            if self._connection is None:
                self._connection = await self._pool.get_connection()
            else:
                await self._connection.disconnect(nowait=True)
                await self._connection.connect()  # type: ignore[no-untyped-call]  # theirs
            self._line = _Line(self._connection)
            return self._line
        finally:
            self._opening = None


class _Line(asyncio.Protocol):
    """An open connection, until it is lost."""

    def __init__(self, connection: AbstractConnection) -> None:
        writer = connection._writer  # noqa: SLF001  # the client gives its transport to nobody
        if writer is None:
            raise RedisConnectionError("Connection closed by server.")
        self._transport = writer.transport
        self._below = self._transport.get_protocol()
        self._loop = asyncio.get_running_loop()
        self._timeout_s: float | None = connection.socket_timeout
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=_refusal)
        # Who waits, in the order of the commands, and until when (of the loop's clock).
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        # Commands of this turn of the loop, while answers to earlier ones are under way.
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False
        self._is_lost = False
        self._poll = select.poll()
        self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._transport.set_protocol(self)

    @property
    def is_busy(self) -> bool:
        """Whether answers are under way: should it be lost, who sends now is told with the others."""
        return bool(self._waiting)

    async def is_fit(self) -> bool:
        """Whether it is still open, asked while nothing is under way: all there is to read then is its end.

        So also a loop that stood still since it was closed knows. A microsecond or two.
        """
        if not self._is_lost and self._poll.poll(0):
            # The loop reads it; twice, since that may only come after the next turn.
            for _ in range(2):
                await asyncio.sleep(0)
        return not self._is_lost and not self._transport.is_closing()

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command; its answer, or the refusal of it."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._is_lost:
            answer.set_exception(RedisConnectionError("Connection closed by server."))
            return answer
        until = 0.0
        if self._timeout_s is not None:
            until = self._loop.time() + self._timeout_s
            if self._timer is None:
                self._timer = self._loop.call_later(self._timeout_s, self._check_time)
        if self._waiting:
            # With all others of this turn of the loop: a system call costs as much as the rest of a command.
            if not self._unsent:
                self._loop.call_soon(self._send_unsent)
            self._unsent.append(command)
        else:
            self._transport.write(command)
        self._waiting.append((answer, until))
        return answer

    async def drained(self) -> None:
        """Return once nobody waits any more."""
        while waiting := [answer for answer, _ in self._waiting if not answer.done()]:
            await asyncio.wait(waiting)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._is_late = False
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                if isinstance(answer, hiredis.PushNotification):
                    continue
                waiter, _ = waiting.popleft()
                if waiter.done():
                    continue
                if isinstance(answer, RedisError):
                    waiter.set_exception(answer)
                else:
                    waiter.set_result(answer)
        except (RedisError, IndexError):  # no protocol that we know, or more answers than questions
            self._lose(RedisConnectionError("What Redis answered makes no sense; the connection was closed."))

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._lose(RedisConnectionError("Connection closed by server."))
        self._below.connection_lost(exc)  # who closes it waits there

    def _send_unsent(self) -> None:
        if not self._is_lost:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _check_time(self) -> None:
        """Of the oldest that waits: once it is over nobody else is likely to get an answer either."""
        self._timer = None
        if not self._waiting:
            return
        left_s = self._waiting[0][1] - self._loop.time()
        if left_s <= 0 and self._is_late:
            self._lose(RedisTimeoutError("Timeout reading from Redis."))
            return
        self._is_late = left_s <= 0
        self._timer = self._loop.call_later(max(left_s, _GRACE_S), self._check_time)

    def _lose(self, error: RedisError) -> None:
        """Close it, and tell all who wait: no answer of theirs is left in it."""
        self._is_lost = True
        self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for waiter, _ in waiting:
            if not waiter.done():
                waiter.set_exception(same_error(error))


def _refusal(text: str) -> ResponseError:
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)


def _packed(command: tuple[Any, ...]) -> bytes:
    """As the client itself would, which packs by its own Python even where hiredis is: ten times the time."""
    packed: bytes = hiredis.pack_command(command)
    return packed
