"""What a worker process serves, and what it allows a client before the application is asked."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from httptools import HttpParserError
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from agentflow_api.app import create_app
from agentflow_api.http.long_answers import LongAnswers
from agentflow_api.http.ping import PING, pong
from agentflow_api.http.request_ids import current_request_id
from agentflow_api.joined_writes import JoinedWrites
from agentflow_telemetry import configure_logging

# Of a request's line and header fields together; the parser itself would keep any number of them.
_MOST_HEAD_BYTES: Final = 64 * 1024
# How long a client may take for them, from the connection or from the first byte.
_HEAD_WITHIN_S: Final = 30.0
_TOO_LONG: Final = "The request's header fields are too long."
# What makes a ping more than one: another origin's page, a body, a connection that shall change.
_NOT_PLAIN: Final = frozenset((b"origin", b"content-length", b"transfer-encoding", b"expect", b"upgrade"))


def application() -> LongAnswers:
    """What a worker serves."""
    configure_logging(request_id=current_request_id)
    return create_app()


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's, with a limit to what comes before a request's body, in bytes and in time.

    Pings are answered here: whether the process lives is asked often, and means no more than that.
    """

    # While a request's head is on its way: since when, and how much of it came before the part being read.
    _head_since: float | None = None
    _head_bytes = 0
    _part_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as theirs
        """See `asyncio.Protocol`."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]  # does as one
        self._head_begins()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """From now on another protocol has the connection."""
        self._stop_timer()
        self.transport = cast("JoinedWrites", self.transport).whole()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._part_bytes = len(data)
        super().data_received(data)
        if self._head_since is not None:
            # Of a head that is not over the parser tells nothing: not even how long its last field is by now.
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(_TOO_LONG)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._head_begins()

    def on_headers_complete(self) -> None:
        """All is there but the body."""
        self._head_since = None
        if self._head_bytes + self._part_bytes > _MOST_HEAD_BYTES and self._head_size() > _MOST_HEAD_BYTES:
            raise HttpParserError(_TOO_LONG)
        if self.url == PING and self._is_plain_get():
            self._answer_ping()
        else:
            super().on_headers_complete()

    def _is_plain_get(self) -> bool:
        """Whether nothing of it takes more than an answer: no body, no origin, no request before it."""
        cycle: RequestResponseCycle | None = self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and _NOT_PLAIN.isdisjoint(name for name, _ in self.headers)
        )

    def _answer_ping(self) -> None:
        headers, body = pong(self.headers)
        lines = [b"%b: %b\r\n" % field for field in (*self.server_state.default_headers, *headers)]
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + b"".join(lines) + b"\r\n" + body)
        self.cycle = _ANSWERED  # type: ignore[assignment]  # what theirs looks at of one
        self.on_response_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _head_begins(self) -> None:
        """One timer for all requests of a connection: most are there long before it rings."""
        self._head_bytes = 0
        self._head_since = self.loop.time()
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_WITHIN_S, self._check_head)

    def _check_head(self) -> None:
        self._head_timer = None
        if self._head_since is None:
            return
        left_s = self._head_since + _HEAD_WITHIN_S - self.loop.time()
        if left_s > 0:
            self._head_timer = self.loop.call_later(left_s, self._check_head)
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        self._head_since = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class SocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's, which forgets the handshake once it is over: open sockets are many, and most are idle."""

    async def send(self, message: ASGISendEvent) -> None:
        """See ASGI."""
        await super().send(message)
        if message["type"] == "websocket.accept":
            self.request.headers.clear()  # the parser keeps it
            self.request = self.response = None  # type: ignore[assignment]  # nobody asks any more
            self.scope["headers"] = []


class _Answered:
    """What the protocol looks at of the last request when that one was answered here."""

    response_complete = True
    disconnected = False

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


_ANSWERED: Final = _Answered()
