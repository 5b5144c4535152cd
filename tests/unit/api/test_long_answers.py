"""What is sent behind a request's way through the application, and how it ends."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from litestar import Litestar, get

from agentflow_api.http.long_answers import LongAnswer, LongAnswers

SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 2),
    "scheme": "http",
}


class Talk:
    """An application with one long answer, and a client of it."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str | None] = asyncio.Queue()
        self.sent: list[Any] = []
        self.closed = asyncio.Event()
        self.gone = asyncio.Event()
        self.spoke = asyncio.Event()
        self.is_through = False
        self.was_through: list[bool] = []
        self.scope = {**SCOPE, "headers": [(b"authorization", b"Bearer secret")], "state": {}}
        self._app = Litestar([get("/")(self._answer)], openapi_config=None, logging_config=None)

    async def _answer(self) -> LongAnswer:
        return LongAnswer(self._texts(), media_type="text/plain", headers={"x-a": "b"})

    async def _texts(self) -> AsyncGenerator[str]:
        try:
            while (text := await self.said.get()) is not None:
                self.was_through.append(self.is_through)
                if text == "fail":
                    raise LookupError(text)
                yield text
        finally:
            await asyncio.sleep(0)  # what is cleaned up may wait
            self.closed.set()

    async def _inner(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)
        self.is_through = True

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if message.get("body"):
            self.spoke.set()

    def begin(self) -> "asyncio.Task[None]":
        app: Any = LongAnswers(self._inner)
        return asyncio.create_task(app(self.scope, self.receive, self.send))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def test_the_body_comes_when_all_else_is_over() -> None:
    talk = Talk()
    for text in ("one ", "two", None):
        talk.said.put_nowait(text)
    await talk.begin()
    assert (talk.body, talk.sent[-1]["more_body"]) == (b"one two", False)
    assert (b"x-a", b"b") in talk.sent[0]["headers"]
    assert talk.was_through == [True, True]


async def test_nothing_of_the_request_waits_with_it() -> None:
    """Least of all its credential."""
    talk = Talk()
    answering = talk.begin()
    talk.said.put_nowait("one")
    await talk.spoke.wait()
    assert talk.scope["headers"] == []
    assert not {"state", "app", "litestar_app", "route_handler"} & talk.scope.keys()
    talk.said.put_nowait(None)
    await answering


async def test_a_client_that_goes_away_ends_it() -> None:
    talk = Talk()
    answering = talk.begin()
    talk.said.put_nowait("one")
    await talk.spoke.wait()
    talk.gone.set()
    await answering
    assert talk.closed.is_set()
    assert talk.sent[-1]["more_body"] is True


async def test_a_server_that_ends_it_is_told_so() -> None:
    """Cancelling is not a client's going away."""
    talk = Talk()
    answering = talk.begin()
    talk.said.put_nowait("one")
    await talk.spoke.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert talk.closed.is_set()


async def test_a_failure_is_told() -> None:
    """The server breaks the answer off: an end would be a lie."""
    talk = Talk()
    talk.said.put_nowait("one")
    talk.said.put_nowait("fail")
    with pytest.raises(LookupError):
        await talk.begin()
    assert talk.sent[-1] == {"type": "http.response.body", "body": b"one", "more_body": True}
    assert talk.closed.is_set()
