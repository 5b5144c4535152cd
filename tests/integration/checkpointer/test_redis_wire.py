"""A connection that misbehaves: whoever waits is told at once, and the next command makes another one."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisError, ResponseError

from agentflow.storage.checkpointer.cache import client_from_url
from agentflow.storage.checkpointer.redis_wire import RedisWire
from agentflow_embedded.valkey import EmbeddedValkey

type Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def wire_to(url: str, timeout_s: float = 5) -> AsyncIterator[RedisWire]:
    client = client_from_url(url, timeout_s=timeout_s)
    wire = RedisWire(client.connection_pool)
    try:
        yield wire
    finally:
        await wire.close()
        await client.aclose()


@asynccontextmanager
async def garbling(garbled: bytes) -> AsyncIterator[str]:
    """A server that greets as Redis does, and answers a connection's first PING, and others with this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pings = 0
        try:
            while line := await reader.readline():
                word = line.strip().upper()
                if word == b"HELLO":
                    writer.write(b"%1\r\n+proto\r\n:3\r\n")
                elif word == b"CLIENT":
                    writer.write(b"+OK\r\n")
                elif word == b"PING":
                    pings += 1
                    writer.write(b"+PONG\r\n" if pings == 1 else garbled)
                    if not garbled and pings > 1:
                        return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"redis://{host}:{port}"
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "garbled",
    [b"", b"?what\r\n", b"$-7\r\n", b"$100\r\nab", b"+PONG\r\n+PONG\r\n", b"\x00" * 50],
    ids=["cut", "unknown", "negative", "half", "one too many", "zeroes"],
)
async def test_answers_that_make_no_sense(garbled: bytes) -> None:
    """All who wait are told; none gets another one's answer; the next command has a connection of its own."""
    async with garbling(garbled) as url, wire_to(url, timeout_s=0.3) as wire:
        for _ in range(3):
            assert await wire.send("PING") == b"PONG"
            answers = await asyncio.gather(*(wire.send("PING") for _ in range(3)), return_exceptions=True)
            assert all(isinstance(answer, RedisError) or answer == b"PONG" for answer in answers), answers
            assert b"PONG" in garbled or any(isinstance(answer, RedisError) for answer in answers)


@pytest.mark.own_server
async def test_a_loop_that_stood_still_reads_before_it_gives_up(own_valkey: EmbeddedValkey) -> None:
    """The answer was there in time: it is not the server that was late."""
    async with wire_to(own_valkey.url, timeout_s=0.2) as wire:
        await wire.send("PING")
        for _ in range(5):
            asked = asyncio.ensure_future(wire.send("ECHO", "x"))
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251  # what is tested: a loop that is held up
            assert await asked == b"x"


@pytest.mark.own_server
async def test_many_at_once_with_long_ones_between(own_valkey: EmbeddedValkey) -> None:
    """Also on a connection that was just opened, by all of them together; refusals stay with who asked."""
    async with wire_to(own_valkey.url) as wire:

        async def ask(number: int) -> bool:
            text = str(number) * (200_000 if number % 50 == 0 else 3)
            if number % 7 == 0:
                with pytest.raises(ResponseError, match="unknown command"):
                    await wire.send(f"NO-{number}")
            return bool(await wire.send("ECHO", text) == text.encode())

        assert all(await asyncio.gather(*map(ask, range(400))))


@pytest.mark.own_server
async def test_cut_again_and_again_under_load(own_valkey: EmbeddedValkey) -> None:
    """An end of an older connection that is heard of late does not end the one that took its place."""
    async with (
        wire_to(own_valkey.url) as wire,
        wire_to(own_valkey.url) as killer,
    ):
        done = 0

        async def ask(number: int) -> None:
            nonlocal done
            for turn in range(50):
                word = f"{number}-{turn}"
                try:
                    assert await wire.send("ECHO", word) == word.encode()
                    done += 1
                except RedisError:
                    await asyncio.sleep(0)

        async def cut() -> None:
            for _ in range(20):
                await killer.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        await asyncio.gather(cut(), *map(ask, range(20)))
        assert done > 0
        assert await wire.send("PING") == b"PONG"


@pytest.mark.own_server
async def test_all_share_what_opening_it_failed_of(own_valkey: EmbeddedValkey) -> None:
    """Hundreds that wait for one connection wait for one time-out; and it works once Redis is there again."""
    async with wire_to(own_valkey.url, timeout_s=1) as wire:
        await wire.send("PING")
        own_valkey.kill()
        answers = await asyncio.gather(*(wire.send("PING") for _ in range(300)), return_exceptions=True)
        assert all(isinstance(answer, (RedisError, OSError)) for answer in answers)
        assert len({id(answer) for answer in answers}) == 300
        own_valkey.start()
        assert await wire.send("PING") == b"PONG"


@pytest.mark.own_server
async def test_commands_of_one_turn_share_a_write(
    own_valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first goes at once, as nothing is under way; the others when the turn is over, in one piece."""
    sent: list[bytes] = []
    async with wire_to(own_valkey.url) as wire:
        assert await wire.send("PING") == b"PONG"
        assert wire._line is not None
        transport = type(wire._line._transport)
        write = transport.write

        def noted(own: asyncio.Transport, data: bytes) -> None:
            sent.append(data)
            write(own, data)

        monkeypatch.setattr(transport, "write", noted)
        answers = await asyncio.gather(*(wire.send("ECHO", f"word-{n}") for n in range(20)))
    assert answers == [b"word-%d" % n for n in range(20)]
    assert [data.count(b"word-") for data in sent] == [1, 19]


@pytest.mark.own_server
async def test_who_stops_waiting_takes_nobodys_answer(own_valkey: EmbeddedValkey) -> None:
    """Half are cancelled, in flight for certain or not yet sent: the others get their own answers."""
    async with wire_to(own_valkey.url) as wire:
        assert await wire.send("PING") == b"PONG"
        own_valkey.pause()
        in_flight = [asyncio.ensure_future(wire.send("ECHO", f"sent-{number}")) for number in range(100)]
        for _ in range(2):
            await asyncio.sleep(0)
        line = wire._line
        assert line is not None
        assert (len(line._waiting), len(line._unsent)) == (100, 0)
        unsent = [asyncio.ensure_future(wire.send("ECHO", f"unsent-{number}")) for number in range(100)]
        await asyncio.sleep(0)
        assert (len(line._waiting), len(line._unsent)) == (200, 100)
        for one in (*in_flight[::2], *unsent[::2]):
            one.cancel()
        own_valkey.resume()
        assert await asyncio.gather(*in_flight[1::2]) == [b"sent-%d" % n for n in range(1, 100, 2)]
        assert await asyncio.gather(*unsent[1::2]) == [b"unsent-%d" % n for n in range(1, 100, 2)]
        assert all(one.cancelled() for one in (*in_flight[::2], *unsent[::2]))
        assert await wire.send("ECHO", "after") == b"after"
        assert wire._line is line


@pytest.mark.own_server
async def test_cancelled_while_it_is_opened(own_valkey: EmbeddedValkey) -> None:
    """All wait for one connection: it is made although those who asked for it first are gone."""
    async with wire_to(own_valkey.url) as wire:
        asked = [asyncio.ensure_future(wire.send("ECHO", f"word-{number}")) for number in range(100)]
        await asyncio.sleep(0)
        assert wire._opening is not None
        for one in asked[:50]:
            one.cancel()
        assert await asyncio.gather(*asked[50:]) == [b"word-%d" % number for number in range(50, 100)]
        assert all(one.cancelled() for one in asked[:50])
