"""Answers that stay open: their bodies are sent once a request's way through the application is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final, cast

from litestar.response import Stream
from litestar.response.base import ASGIResponse
from litestar.types import Receive as LitestarReceive
from litestar.types import Scope as LitestarScope
from litestar.types import Send as LitestarSend

from agentflow_telemetry.asgi import App, Receive, Scope, Send

_BODIES: Final = "agentflow.long_answers"
# What a server may still ask of a request that it answers.
_KEPT: Final = frozenset(
    {"type", "asgi", "http_version", "method", "path", "query_string", "client", "headers"}
)


class LongAnswers:
    """The outermost wrapper: sends the bodies that a `LongAnswer` left to it.

    Until then each wrapper, the framework and its request would wait as well, at several kilobytes an answer.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, then send what is left of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bodies: list[AsyncGenerator[str]] = []
        scope[_BODIES] = bodies
        await self._app(scope, receive, send)
        if bodies:
            _forget(scope)
            await _send_all(bodies.pop(), receive, send)


class LongAnswer(Stream):
    """An answer whose texts come over a long time; none are made once its client went away."""

    __slots__ = ("_texts",)

    def __init__(self, texts: AsyncGenerator[str], *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(texts, media_type=media_type, headers=headers)
        self._texts = texts

    def to_asgi_response(self, *arguments: Any, **named: Any) -> ASGIResponse:
        """See `Response`."""
        begun = super().to_asgi_response(*arguments, **named)
        return _Begun(self._texts, begun)


class _Begun(ASGIResponse):
    """Sends the header fields, and leaves the body to `LongAnswers`."""

    __slots__ = ("_begun", "_texts")

    def __init__(
        self, texts: AsyncGenerator[str], begun: ASGIResponse
    ) -> None:  # its base has nothing to add
        self._texts, self._begun = texts, begun

    async def __call__(self, scope: LitestarScope, receive: LitestarReceive, send: LitestarSend) -> None:
        await self._begun.start_response(send)
        bodies: list[AsyncGenerator[str]] = cast("dict[str, Any]", scope)[_BODIES]
        bodies.append(self._texts)


def _forget(scope: Scope) -> None:
    """What was asked: a server keeps the scope as long as the answer."""
    for name in [name for name in scope if name not in _KEPT]:
        del scope[name]
    if isinstance(scope["headers"], list):
        scope["headers"].clear()


async def _send_all(texts: AsyncGenerator[str], receive: Receive, send: Send) -> None:
    """Send until there are no more, or the client goes away: then the generator is told at its next wait."""
    here = cast("asyncio.Task[None]", asyncio.current_task())
    leaving = asyncio.ensure_future(_gone(receive))

    def hang_up(_: object) -> None:
        here.cancel()

    leaving.add_done_callback(hang_up)
    try:
        async for text in texts:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except asyncio.CancelledError:
        if not leaving.done() or here.uncancel() > 0:
            raise
    finally:
        leaving.remove_done_callback(hang_up)
        leaving.cancel()
        await texts.aclose()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
