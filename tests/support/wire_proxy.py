"""A TCP proxy in front of PostgreSQL: counts round trips, and cuts or holds answers on demand."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from sqlalchemy.engine import make_url


class WireProxy:
    """Passes bytes on, on a loopback port of its own.

    Attributes:
        url: The database's URL through the proxy.
        round_trips: How often the server was asked something it had to answer.
        cut_answers: So many answers from now on are swallowed, and their connections cut: the server did its
            work, the client does not learn of it.
    """

    def __init__(self, database_url: str) -> None:
        self._target = make_url(database_url)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.round_trips = 0
        self.cut_answers = 0
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        through = self._target.set(host="127.0.0.1", port=port)
        self.url = through.render_as_string(hide_password=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            server, to_server = await asyncio.open_connection(self._target.host, self._target.port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._asks(client, to_server))
                    group.create_task(self._answers(server, to_client, to_server))
            finally:
                await _close(to_server)
        except* (OSError, _EndOfStreamError):
            pass
        finally:
            await _close(to_client)
            self._tasks.discard(task)

    async def _asks(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await client.read(65536):
            self.round_trips += 1
            to_server.write(data)
            await to_server.drain()
        raise _EndOfStreamError

    async def _answers(
        self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter
    ) -> None:
        while data := await server.read(65536):
            if self.cut_answers and _ends_a_statement(data):
                self.cut_answers -= 1
                self.cuts += 1
                break
            to_client.write(data)
            await to_client.drain()
        raise _EndOfStreamError


class _EndOfStreamError(Exception):
    """One side is gone, so the other must go."""


def _ends_a_statement(answer: bytes) -> bool:
    """Whether the server says here that a statement is done, and so committed."""
    return any(tag in answer for tag in (b"SELECT ", b"INSERT ", b"UPDATE ", b"COMMIT")) and answer.endswith(
        b"Z\0\0\0\5I"
    )


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
