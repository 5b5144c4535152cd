"""A port of its own for the metrics of a process that serves nothing else."""

from __future__ import annotations

import hashlib
import hmac
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.registry import Collector

logger = logging.getLogger("agentflow.metrics")

_Start = Callable[..., Any]
_PATH: Final = "/metrics"


class MetricsEndpoint:
    """Serves in a thread, so that a busy process is seen as what it is, and not as one that is gone."""

    def __init__(self, told: Collector, host: str, port: int, token: str | None) -> None:
        """Listen, and serve until `close`.

        Args:
            told: What is told at GET /metrics.
            host: Address to listen on.
            port: To listen on; 0 takes one that is free.
            token: That whoever asks must send as bearer; None asks for none.

        Raises:
            OSError: The address is taken.
        """
        app = _Guarded(make_wsgi_app(told), token)
        self._server = make_server(host, port, app, _Server, _Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Guarded:
    """A WSGI application for who has the token, and under its one path."""

    def __init__(self, app: Callable[[dict[str, Any], _Start], Iterable[bytes]], token: str | None) -> None:
        self._app = app
        self._digest = None if token is None else _digest(f"Bearer {token}")

    def __call__(self, environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        given = _digest(environ.get("HTTP_AUTHORIZATION", ""))
        if self._digest is not None and not hmac.compare_digest(given, self._digest):
            start("401 Unauthorized", [("Content-Length", "0"), ("WWW-Authenticate", "Bearer")])
            return []
        if environ.get("PATH_INFO") != _PATH:
            start("404 Not Found", [("Content-Length", "0")])
            return []
        environ["QUERY_STRING"] = ""  # the whole page, whatever part of it is asked for
        return self._app(environ, start)


class _Server(ThreadingWSGIServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who scrapes went away, most often: a line as others are, without an address."""
        logger.warning("A scrape broke off: %s", sys.exception())


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its base has it
        """Nobody reads that somebody scraped."""


def _digest(text: str) -> bytes:
    """Of one length, so that comparing takes as long whatever was guessed."""
    return hashlib.sha256(text.encode()).digest()
