"""Reading a body of JSON objects, one a line, in bounded memory."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, Final

from litestar import Request
from litestar.exceptions import HTTPException

from agentflow_api.http.body import json_of
from agentflow_api.http.fields import field_of
from agentflow_api.http.problems import (
    BadRequestError,
    BodyTooLargeError,
    BodyTooSlowError,
    UnsupportedBodyError,
)

NDJSON: Final = "application/x-ndjson"

# A client that says nothing for so long is gone, and what it holds is wanted by others.
_IDLE_S: Final = 30.0
# Gzip packs at most a thousand times as small, JSON that means something a tenth of that.
_MOST_TIMES: Final = 200
_FREE_BYTES: Final = 16 * 1024 * 1024
_PIECE_BYTES: Final = 256 * 1024


def is_json_lines(request: Request[Any, Any, Any]) -> bool:
    """Whether the body says that it is."""
    return field_of(request, b"content-type").split(";", 1)[0].strip().lower() == NDJSON


def wants_json_lines(request: Request[Any, Any, Any]) -> bool:
    """Whether the client asks for them, and not for JSON."""
    accepts = field_of(request, b"accept")
    return NDJSON in accepts and "application/json" not in accepts


async def json_lines(
    body: AsyncIterator[bytes], encoding: str, *, max_line_bytes: int, idle_s: float = _IDLE_S
) -> AsyncGenerator[tuple[int, Any]]:
    """Each line's number, from 1, and data, as it comes; blank lines are passed over.

    Args:
        body: The request's, piece by piece.
        encoding: Its `content-encoding`.
        max_line_bytes: How long a line may be.
        idle_s: How long to wait for a piece.

    Raises:
        BodyTooLargeError: A line is over the limit, or the whole unpacks to far more than was sent.
        UnsupportedBodyError: It is packed in another way than gzip.
        BadRequestError: A line is no JSON; the gzip is none, or breaks off; the client went away.
        BodyTooSlowError: Nothing came for too long.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise UnsupportedBodyError("Send the body as it is, or packed with gzip.")
    came = patient(body, idle_s)
    async with aclosing(_unpacked(came) if encoding == "gzip" else came) as pieces:
        async for number, line in _lines(pieces, max_line_bytes):
            yield number, _data(line, number, max_line_bytes)


async def patient(body: AsyncIterator[bytes], idle_s: float = _IDLE_S) -> AsyncGenerator[bytes]:
    """The body's pieces.

    Raises:
        BadRequestError: The client went away.
        BodyTooSlowError: Nothing came for too long.
    """
    while True:
        try:
            async with asyncio.timeout(idle_s):
                piece = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise BodyTooSlowError(f"Nothing of the body came for {idle_s:g} s.") from error
        except HTTPException as error:  # what the framework says when the client is gone
            raise BadRequestError("The body ends in the middle.") from error
        yield piece


async def _unpacked(packed: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    taken = given = 0
    async for piece in packed:
        taken += len(piece)
        for unpacked in _inflated(unpacker, piece):
            given += len(unpacked)
            if given > _FREE_BYTES + _MOST_TIMES * taken:
                raise BodyTooLargeError("The body unpacks to far more than was sent.")
            yield unpacked
            await asyncio.sleep(0)  # a small piece may unpack to much: others have their turn
    if not unpacker.eof:
        raise BadRequestError("The body's gzip breaks off in the middle.")


def _inflated(unpacker: Any, piece: bytes) -> Iterator[bytes]:
    """What a piece unpacks to, never much at a time."""
    try:
        while piece:
            if unpacker.eof:
                raise BadRequestError("Something follows the body's gzip.")
            yield unpacker.decompress(piece, _PIECE_BYTES)
            piece = unpacker.unconsumed_tail or unpacker.unused_data
    except zlib.error as error:
        raise BadRequestError("The body is not gzip, though its content-encoding says so.") from error


async def _lines(pieces: AsyncIterator[bytes], max_line_bytes: int) -> AsyncGenerator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers."""
    rest = bytearray()
    number = 0
    async for piece in pieces:
        *whole, left = piece.split(b"\n")
        for line in whole:
            number += 1
            if not line and not rest:  # millions of them cost next to nothing
                continue
            rest += line
            _check_size(rest, max_line_bytes)
            if rest.strip():
                yield number, bytes(rest)
            rest.clear()
        rest += left
        _check_size(rest, max_line_bytes)
    if rest.strip():
        yield number + 1, bytes(rest)


def _check_size(line: bytearray, max_line_bytes: int) -> None:
    if len(line) > max_line_bytes:
        raise BodyTooLargeError(f"A line of the body is larger than {max_line_bytes} bytes.")


def _data(line: bytes, number: int, max_line_bytes: int) -> Any:
    try:
        return json_of(line, max_line_bytes)
    except BadRequestError as error:
        raise BadRequestError(f"Line {number}: {error}") from error
