"""A turn of the loop is one write; nothing that was written is lost, or kept without a limit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agentflow_api.joined_writes import JoinedWrites


class _Counting:
    """The real transport, with a list of what it was told to send."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.transport.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self.transport, name)


@dataclass
class Connected:
    """Both ends of a connection."""

    joined: JoinedWrites
    reader: asyncio.StreamReader
    below: _Counting


@asynccontextmanager
async def connected() -> AsyncIterator[Connected]:
    loop = asyncio.get_running_loop()
    here: asyncio.Future[asyncio.Transport] = loop.create_future()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            here.set_result(transport)

    server = await loop.create_server(Server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    below = _Counting(await here)
    try:
        yield Connected(JoinedWrites(below, loop), reader, below)  # type: ignore[arg-type]  # does as one
    finally:
        below.transport.abort()
        writer.close()
        server.close()
        await server.wait_closed()


async def test_a_turn_is_one_write() -> None:
    async with connected() as both:
        for part in (b"head ", b"body ", b"end"):
            both.joined.write(part)
        assert await both.reader.readexactly(13) == b"head body end"
        both.joined.write(b"next")
        assert await both.reader.readexactly(4) == b"next"
        assert both.below.writes == [b"head body end", b"next"]


async def test_what_was_written_goes_before_the_end() -> None:
    async with connected() as both:
        both.joined.write(b"all ")
        both.joined.write(b"of it")
        both.joined.close()
        assert both.joined.is_closing()
        both.joined.write(b" and not this")
        assert await both.reader.read() == b"all of it"


async def test_another_protocol_writes_behind_it() -> None:
    async with connected() as both:
        both.joined.write(b"first ")
        both.joined.whole().write(b"second")
        both.joined.close()
        assert await both.reader.read() == b"first second"


async def test_an_abort_sends_nothing_more() -> None:
    async with connected() as both:
        both.joined.write(b"lost")
        both.joined.abort()
        assert await both.reader.read() == b""
        assert both.below.writes == []


async def test_a_writer_that_never_waits_meets_the_transports_limit() -> None:
    async with connected() as both:
        for _ in range(10):
            both.joined.write(bytes(40_000))
        assert [len(data) for data in both.below.writes] == [80_000] * 5
        assert await both.reader.readexactly(400_000) == bytes(400_000)
