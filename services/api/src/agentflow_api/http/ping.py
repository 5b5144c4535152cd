"""`GET /ping`: answered before anything else looks at the request."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from agentflow_api.http.request_ids import begin_request, request_id
from agentflow_telemetry.asgi import ROUTE_KEY

PING: Final = b"/ping"
_PATH: Final = PING.decode()


def pong(headers: Sequence[tuple[bytes, bytes]]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Header fields and body of the answer to a ping that has these header fields."""
    begin_request(headers)
    own_id, timestamp = request_id(), datetime.now(UTC).isoformat()
    body = (
        f'{{"data":"pong","metadata":{{"request_id":"{own_id}","timestamp":"{timestamp}","message":"OK"}}}}'
    ).encode()
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", own_id.encode()),
        (b"x-timestamp", timestamp.encode()),
    ]
    return fields, body


class Ping:
    """Answers pings; passes everything else on. What asks whether the process lives asks often."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != ScopeType.HTTP or not _is_ping(scope):
            await self._app(scope, receive, send)
            return
        headers, body = pong([*scope["headers"]])
        scope.setdefault("state", {})[ROUTE_KEY] = _PATH
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _is_ping(scope: HTTPScope) -> bool:
    return scope["path"] == _PATH and scope["method"] == "GET"
