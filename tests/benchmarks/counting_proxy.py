"""A TCP proxy that counts round trips and bytes."""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class CountingProxy:
    """Passes bytes on, on a loopback port of its own.

    Attributes:
        url: The server's URL through the proxy.
        round_trips: How often a connection went from listening to asking: a pipeline counts once.
        sent_bytes: What clients sent.
    """

    def __init__(self, url: str) -> None:
        """In front of the server that this URL names."""
        self._parts = urlsplit(url)
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.round_trips = 0
        self.sent_bytes = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        login = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut what is left."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def restart(self) -> None:
        """Count from zero."""
        self.round_trips = self.sent_bytes = 0

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server, to_server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        turn = _Turn()
        pumps = [
            asyncio.create_task(self._pump(client, to_server, turn, asks=True)),
            asyncio.create_task(self._pump(server, to_client, turn, asks=False)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            to_server.close()
            to_client.close()
            self._tasks.discard(task)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, turn: "_Turn", *, asks: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 20):
                if asks:
                    self.sent_bytes += len(data)
                    self.round_trips += not turn.asking
                turn.asking = asks
                target.write(data)
                await target.drain()


class _Turn:
    """Whose turn it is to speak on one connection."""

    asking = False
