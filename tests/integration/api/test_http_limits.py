"""What a client may send before the application is asked: over a socket, to the server's own protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

import agentflow_api.server
from agentflow_api.server import HttpProtocol

OK = b"HTTP/1.1 200 OK"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body."""
    size, more = 0, True
    while more:
        event = await receive()
        size, more = size + len(event.get("body", b"")), event.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = Config(app, log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpProtocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        for connection in list(state.connections):
            connection.shutdown()
        server.close()
        await server.wait_closed()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    await reader.readexactly(1)
    return head


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n",
        GET + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        GET + b"X-Endless: " + b"x" * 70_000,
    ],
    ids=["long field", "many fields", "long path", "endless field"],
)
async def test_a_head_that_is_too_long(head: bytes) -> None:
    """Is refused and the connection closed, also before it ends."""
    async with connected() as (reader, writer):
        writer.write(GET + b"\r\n")
        assert (await answer(reader)).startswith(OK)
        writer.write(head)
        try:
            got = await asyncio.wait_for(reader.read(), 10)
        except ConnectionResetError:  # closed with some of it unread, which may overtake the answer
            return
        assert got.startswith(b"HTTP/1.1 400 ")


async def test_a_long_head_that_is_allowed_and_a_long_body() -> None:
    """The limit is each request's own, and the body is no part of it."""
    async with connected() as (reader, writer):
        for _ in range(3):
            body = b"y" * 300_000
            fields = b"X-Long: " + b"x" * 50_000 + b"\r\nContent-Length: 300000\r\n\r\n"
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + body)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(OK)
            assert await reader.readexactly(6) == b"300000"


@pytest.mark.parametrize(
    "sent", [b"", b"G", GET, GET + b"X-Slow: "], ids=["nothing", "a byte", "half", "field"]
)
async def test_a_head_that_does_not_come(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """The connection is closed in the end; also one that was served before."""
    monkeypatch.setattr(agentflow_api.server, "_HEAD_WITHIN_S", 0.2)
    async with connected() as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 10) == b""
    async with connected() as (reader, writer):
        writer.write(GET + b"\r\n")
        assert (await answer(reader)).startswith(OK)
        if sent:
            writer.write(sent)
            assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_body_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agentflow_api.server, "_HEAD_WITHIN_S", 0.1)
    async with connected() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.1)
            writer.write(b"z")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(OK)
        assert await reader.readexactly(1) == b"4"


PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n"


async def test_pings_between_other_requests() -> None:
    """Sent without waiting: in order; one that waits for another request is the application's to answer."""
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    async with connected() as (reader, writer):
        for _ in range(20):
            writer.write(PING + b"X-Request-Id: one\r\n\r\n" + post + PING + b"\r\n" + post)
            for expected in (b"pong", b"3", b"0", b"3"):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                assert head.startswith(OK)
                [length] = [
                    line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
                ]
                body = await reader.readexactly(int(length))
                assert expected == body or (expected == b"pong" and body.startswith(b'{"data":"pong"')), body


@pytest.mark.parametrize(
    "request_",
    [
        PING + b"Connection: close\r\n\r\n",
        b"GET /ping HTTP/1.0\r\nHost: x\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"GET /ping?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        PING + b"Origin: http://x\r\nConnection: close\r\n\r\n",
    ],
    ids=["close", "old", "post", "query", "origin"],
)
async def test_what_is_more_than_a_ping_goes_to_the_application(request_: bytes) -> None:
    async with connected() as (reader, writer):
        writer.write(request_)
        got = await asyncio.wait_for(reader.read(), 10)
        assert got.startswith(OK)
        assert got.endswith(b"\r\n\r\n0")
