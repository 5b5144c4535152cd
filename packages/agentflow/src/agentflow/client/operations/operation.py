"""A request as a value."""

from __future__ import annotations

import uuid
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticSerializationError, to_json

from agentflow.errors import InvalidInputError

if TYPE_CHECKING:
    from agentflow.client.engine import Engine

_PIECE_BYTES: Final = 64 * 1024

type Query = Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation[T]:
    """What to send, and how to read the answer.

    Attributes:
        path: Below the base URL and the agent's prefix.
        read: Makes the result of the envelope's `data`.
        query: Names whose value is None are left out.
        body: Anything that JSON can hold, pydantic models too; None for no body.
        lines: A body of JSON objects, one a line, sent as they come.
        idempotency_key: With it the service does a thing once, however often it is sent.
        timeout_s: Longest wait for the answer; None for the client's.
        only_reads: It changes nothing, though it is no GET.
        patient: The service answers when something happens, so a wait without an answer is no failure.
        of_agent: Whether the agent's prefix belongs before the path.
    """

    method: str
    path: str
    read: Callable[[Any], T] = field(repr=False)
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    lines: Iterable[Any] | AsyncIterable[Any] | None = None
    idempotency_key: str | None = None
    timeout_s: float | None = None
    only_reads: bool = False
    patient: bool = False
    of_agent: bool = True

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method == "GET" or self.only_reads or self.idempotency_key is not None

    @property
    def resendable(self) -> bool:
        """Whether its body is still there to be sent again, if nothing was done with it."""
        return self.repeatable or self.lines is None

    def fields(self) -> dict[str, str]:
        """Its header fields."""
        fields = dict(self.headers)
        if self.body is not None:
            fields["content-type"] = "application/json"
        elif self.lines is not None:
            fields["content-type"] = "application/x-ndjson"
        if self.idempotency_key is not None:
            fields["idempotency-key"] = self.idempotency_key
        return fields

    def parameters(self) -> dict[str, str | int]:
        """Its query, without what was not given."""
        return {name: value for name, value in self.query.items() if value is not None}

    def content(self) -> bytes | Iterator[bytes] | AsyncIterator[bytes] | None:
        """Its body; lines are packed into pieces worth a packet.

        Raises:
            InvalidInputError: It holds something that is not data.
        """
        if isinstance(self.lines, AsyncIterable):
            return _async_pieces(self.lines)
        if self.lines is not None:
            return _pieces(self.lines)
        return None if self.body is None else _encoded(self.body)

    async def perform(self, engine: Engine) -> T:
        """Send it, again if need be, and read the answer."""
        return await engine.call(self)


def key_of(given: str | None) -> str:
    """The idempotency key of one call: the caller's, or a new one.

    Raises:
        InvalidInputError: It is none.
    """
    if given is None:
        return uuid.uuid4().hex
    if not (0 < len(given) <= 255 and given.isascii() and given.isprintable()):
        raise InvalidInputError("An idempotency key is 1 to 255 printable ASCII characters.")
    return given


def repeatable_key(lines: Iterable[Any] | AsyncIterable[Any], given: str | None) -> str | None:
    """The key of an upload; none for what can be read only once, and so cannot be sent again."""
    return key_of(given) if given is not None or isinstance(lines, Sequence) else None


def without_none(**values: Any) -> dict[str, Any]:
    """The body's members that were given."""
    return {name: value for name, value in values.items() if value is not None}


def _pieces(lines: Iterable[Any]) -> Iterator[bytes]:
    piece = bytearray()
    for line in lines:
        piece += _encoded(line) + b"\n"
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


async def _async_pieces(lines: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    piece = bytearray()
    async for line in lines:
        piece += _encoded(line) + b"\n"
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _encoded(value: Any) -> bytes:
    try:
        return to_json(value)
    except (PydanticSerializationError, ValueError) as error:
        raise InvalidInputError(f"What was given cannot be sent as JSON: {error}") from error
