"""The two ways to send: one blocks, the other is awaited.

Everything above is written once, as coroutines. On the blocking transport they never really wait, so
`finished` runs one to its end without an event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Protocol

import httpx

from agentflow.client.errors import ClientClosedError
from agentflow.errors import InvalidInputError

type Content = bytes | Iterator[bytes] | AsyncIterator[bytes] | None


class Transport(Protocol):
    """What a client needs of its HTTP library.

    Attributes:
        awaits: Whether there is an event loop, for functions that need one.
    """

    awaits: bool

    def request(self, method: str, url: str, content: Content, **fields: Any) -> httpx.Request:
        """A request to be sent once."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer's head; its body is still to be read, or closed.

        Raises:
            ClientClosedError: The connections were closed.
        """

    async def read(self, response: httpx.Response) -> bytes:
        """The whole body."""

    def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The body as it comes."""

    async def leave(self, response: httpx.Response) -> None:
        """Read no more of an answer."""

    async def pause(self, wait_s: float) -> None:
        """Do nothing for a while."""

    async def run(self, tool: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Call a function of the user's."""

    async def close(self) -> None:
        """Close the connections, unless somebody else opened them."""


class BlockingTransport:
    """On an `httpx.Client`."""

    awaits = False

    def __init__(self, http: httpx.Client | None) -> None:
        self._http = http or httpx.Client()
        self._is_own = http is None
        self._is_closed = False

    def request(self, method: str, url: str, content: Content, **fields: Any) -> httpx.Request:
        """See `Transport`."""
        if isinstance(content, AsyncIterator):
            raise InvalidInputError("This client blocks: give it an iterator, or use the awaited client.")
        return self._http.build_request(method, url, content=content, **fields)

    async def send(self, request: httpx.Request) -> httpx.Response:
        """See `Transport`."""
        if self._is_closed or self._http.is_closed:
            raise ClientClosedError
        return self._http.send(request, stream=True, follow_redirects=False)

    async def read(self, response: httpx.Response) -> bytes:
        """See `Transport`."""
        return response.read()

    async def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See `Transport`."""
        for piece in response.iter_bytes():
            yield piece

    async def leave(self, response: httpx.Response) -> None:
        """See `Transport`."""
        response.close()

    async def pause(self, wait_s: float) -> None:
        """See `Transport`."""
        time.sleep(wait_s)  # noqa: ASYNC251 - there is no loop to block

    async def run(self, tool: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """See `Transport`."""
        return tool(**arguments)

    async def close(self) -> None:
        """See `Transport`."""
        self._is_closed = True
        if self._is_own:
            self._http.close()


class AwaitedTransport:
    """On an `httpx.AsyncClient`."""

    awaits = True

    def __init__(self, http: httpx.AsyncClient | None) -> None:
        self._http = http or httpx.AsyncClient()
        self._is_own = http is None
        self._is_closed = False

    def request(self, method: str, url: str, content: Content, **fields: Any) -> httpx.Request:
        """See `Transport`."""
        given = _awaited(content) if isinstance(content, Iterator) else content
        return self._http.build_request(method, url, content=given, **fields)

    async def send(self, request: httpx.Request) -> httpx.Response:
        """See `Transport`."""
        if self._is_closed or self._http.is_closed:
            raise ClientClosedError
        return await self._http.send(request, stream=True, follow_redirects=False)

    async def read(self, response: httpx.Response) -> bytes:
        """See `Transport`."""
        return await response.aread()

    def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See `Transport`."""
        return response.aiter_bytes()

    async def leave(self, response: httpx.Response) -> None:
        """See `Transport`."""
        await response.aclose()

    async def pause(self, wait_s: float) -> None:
        """See `Transport`."""
        await asyncio.sleep(wait_s)

    async def run(self, tool: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """See `Transport`. A plain function runs in a thread of its own."""
        if inspect.iscoroutinefunction(tool):
            return await tool(**arguments)
        return await asyncio.to_thread(tool, **arguments)

    async def close(self) -> None:
        """See `Transport`."""
        self._is_closed = True
        if self._is_own:
            await self._http.aclose()


def finished[T](work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine on the blocking transport, which never waits for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("A coroutine on the blocking transport waited for an event loop.")


async def _awaited(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
