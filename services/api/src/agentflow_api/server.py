"""The HTTP server: its processes, and what it allows a client before the application is asked."""

from __future__ import annotations

import asyncio
from typing import Final

from httptools import HttpParserError
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from agentflow_api.app import create_app
from agentflow_api.settings import Settings
from agentflow_telemetry import SpanPerRequest, configure_logging

# A node that takes longer is cut off; its thread stays at the step before.
_STOP_WITHIN_S: Final = 30
# A worker that says nothing for so long is ended and replaced.
_SILENT_FOR_S: Final = 30
# Of a request's line and header fields together; the parser itself would keep any number of them.
_MOST_HEAD_BYTES: Final = 64 * 1024
# How long a client may take for them, from the connection or from the first byte.
_HEAD_WITHIN_S: Final = 30.0
_TOO_LONG: Final = "The request's header fields are too long."
_KEEP_ALIVE_S: Final = 75
_BACKLOG: Final = 4096


def serve(settings: Settings) -> None:
    """Until SIGTERM or Ctrl-C: worker processes, and this one that watches them and replaces any that dies.

    Exits with 3 when the address is taken or a worker cannot start.
    """
    config = Config(
        "agentflow_api.server:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=HttpProtocol,
        ws="websockets-sansio",
        # One more, so that the route answers what is too long in its own words.
        ws_max_size=settings.max_body_bytes + 1,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        timeout_worker_healthcheck=_SILENT_FOR_S,
    )
    listening = config.bind_socket()
    try:
        Multiprocess(config, [listening]).run()
    finally:
        listening.close()


def application() -> SpanPerRequest:
    """What a worker serves."""
    configure_logging()
    return create_app()


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's, with a limit to what comes before a request's body, in bytes and in time."""

    _head_bytes = 0
    _pending_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as theirs
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        if self._head_timer is not None and not self.transport.is_closing():
            # Of a head that is not over the parser tells nothing: not even how long its last field is by now.
            self._pending_bytes += len(data)
            if self._pending_bytes > _MOST_HEAD_BYTES:
                self.send_400_response(_TOO_LONG)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._head_bytes = self._pending_bytes = 0
        if self._head_timer is None:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        """A part of it."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """All is there but the body."""
        self._stop_waiting()
        super().on_headers_complete()

    def _count(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > _MOST_HEAD_BYTES:
            raise HttpParserError(_TOO_LONG)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_WITHIN_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()
