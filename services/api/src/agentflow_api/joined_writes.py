"""What an answer writes in one turn of the loop goes to the client in one piece."""

from __future__ import annotations

import asyncio
from typing import Any, Final

# More goes at once: a writer that never waits must meet the transport's own limit, and be held there.
_MOST_BYTES: Final = 64 * 1024


class JoinedWrites:
    """A transport that sends what was written once the turn of the loop is over.

    A server writes an answer's head and body one after the other, and a stream's chunks as they come: each
    would be a system call, which costs a light request as much as all of the framework, and a packet.
    """

    __slots__ = ("_loop", "_parts", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """See `asyncio.WriteTransport`."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _MOST_BYTES:
            self._send()

    def close(self) -> None:
        """Send what was written, then close."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self._parts.clear()
        self._size = 0
        self._transport.abort()

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`. Asked at each write, so not by `__getattr__`."""
        return self._transport.is_closing()

    def whole(self) -> asyncio.Transport:
        """The transport itself, for another protocol; what was written is sent before."""
        self._send()
        return self._transport

    def _send(self) -> None:
        parts = self._parts
        if parts and not self._transport.is_closing():
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
        parts.clear()
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's."""
        return getattr(self._transport, name)
