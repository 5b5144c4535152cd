"""Lines, and server-sent events, out of pieces of bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass

from agentflow.client.errors import ConnectionFailedError

# A text's own line breaks, such as U+2028, are no ends of lines: so bytes are split, not text.


async def lines(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Every whole line, without its end.

    Raises:
        ConnectionFailedError: The last one has no end.
    """
    rest: list[bytes] = []
    async with aclosing(pieces):
        async for piece in pieces:
            *whole, left = piece.split(b"\n")
            for line in whole:
                yield (b"".join(rest) + line).removesuffix(b"\r")
                rest = []
            if left:
                rest.append(left)
    if rest:
        raise ConnectionFailedError("The answer ends within a line.")


@dataclass(slots=True)
class Event:
    """A server-sent event."""

    name: str
    data: bytes


async def events(source: AsyncIterable[bytes]) -> AsyncGenerator[Event]:
    """The events of a stream's lines, after the HTML standard, without comments."""
    name = "message"
    data: list[bytes] = []
    async for line in source:
        if not line:
            if data:
                yield Event(name, b"\n".join(data))
            name, data = "message", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode(errors="replace")
        elif field == b"data":
            data.append(value)
