"""Tenants' routes without the framework's steps: the same answers, and the framework's where it matters."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import litestar
import pytest
from litestar import Litestar, Request, Response
from litestar.response import Stream

from agentflow_api.http.direct_routes import DirectRoutes
from agentflow_api.http.envelope import failure, success
from agentflow_telemetry.asgi import ROUTE_KEY

Handler = Callable[[Request[Any, Any, Any]], Awaitable[Response[Any]]]


class HandlerError(Exception):
    """Of a handler."""


async def thread(request: Request[Any, Any, Any]) -> Response[Any]:
    return success(request.scope["path_params"])


async def failing(request: Request[Any, Any, Any]) -> Response[Any]:
    raise HandlerError


async def streaming(request: Request[Any, Any, Any]) -> Response[Any]:
    async def parts() -> AsyncGenerator[str]:
        yield "a"
        if "cut" in request.query_params:
            raise HandlerError
        yield "b"

    return Stream(parts(), media_type="text/plain")


async def unready(request: Request[Any, Any, Any]) -> Response[Any]:
    return Unready(b"")


class Unready(Response[bytes]):
    """Fails before its first byte."""

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        raise HandlerError


def app_of(passed: list[str]) -> DirectRoutes:
    handlers: dict[str, Handler] = {
        "/threads/{thread_id:str}": thread,
        "/failing": failing,
        "/stream": streaming,
        "/unready": unready,
    }
    for handler in handlers.values():
        handler.handler = handler  # type: ignore[attr-defined]  # as `routing` marks them
    routes = [litestar.get(path)(handler) for path, handler in handlers.items()]
    framework = Litestar(routes, openapi_config=None, logging_config=None)

    async def passing(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return failure(418, type(error).__name__, "no")

    return DirectRoutes(passing, framework, answer)


async def ask(app: DirectRoutes, path: str, method: str = "GET", **more: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    asked = {"type": "http", "path": path, "method": method, "query_string": b""}
    scope: dict[str, Any] = {**asked, "headers": [(b"host", b"a:1")], **more}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    await app(scope, receive, send)  # type: ignore[arg-type]
    if scope.get("path_template"):
        assert scope["state"][ROUTE_KEY] == scope["path_template"]
    return sent


async def test_a_route() -> None:
    """Its handler gets the path's parameters, and its answer goes out as two messages."""
    start, body = await ask(app_of([]), "/threads/x y")
    assert start["status"] == 200
    assert (b"content-type", b"application/json") in start["headers"]
    assert b'"thread_id":"x y"' in body["body"]


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/threads/x/", {}),
        ("//threads/x", {}),
        ("/threads/x", {"method": "OPTIONS"}),
        ("/threads/x", {"method": "POST"}),
        ("/nowhere", {}),
        ("/threads/x", {"headers": [(b"host", b"a b")]}),
        ("/threads/x", {"headers": []}),
        ("/threads/x", {"root_path": "/mounted"}),
        ("/threads/x", {"type": "websocket"}),
    ],
)
async def test_what_the_framework_judges(path: str, more: dict[str, Any]) -> None:
    """Whatever is not plainly a route goes to it, untouched."""
    passed: list[str] = []
    assert await ask(app_of(passed), path, **more) == []
    assert passed == [path]


async def test_errors_have_their_answer() -> None:
    """A handler's, and those of an answer before its first byte."""
    for path in ("/failing", "/unready"):
        start, body = await ask(app_of([]), path)
        assert start["status"] == 418
        assert b"HandlerError" in body["body"]


async def test_a_stream() -> None:
    """Goes out part by part; one that breaks is cut, and never ends with another answer."""
    sent = await ask(app_of([]), "/stream")
    assert b"".join(message.get("body", b"") for message in sent) == b"ab"
    with pytest.RaisesGroup(HandlerError):
        await ask(app_of([]), "/stream", query_string=b"cut=1")
