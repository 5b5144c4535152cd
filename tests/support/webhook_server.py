"""A real HTTP server that is told of runs, and answers as a test wants."""

import base64
import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_WITHIN_S = 60.0


@dataclass
class Call:
    """What came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


@dataclass
class WebhookServer:
    """Answers with the statuses given, one after the other, then 200; `hold` keeps answers back."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    calls: "queue.Queue[Call]" = field(default_factory=queue.Queue)
    go_on: threading.Event = field(default_factory=threading.Event)

    def called(self) -> Call:
        """The next call."""
        return self.calls.get(timeout=_WITHIN_S)


def verified(secret: str, call: Call) -> bool:
    """Whether the signature is good, by the recipe of the guide."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = [each.removeprefix("v1,") for each in call.headers["webhook-signature"].split()]
    return any(hmac.compare_digest(each, wanted) for each in given)


@contextmanager
def webhook_server(*statuses: int) -> Iterator[WebhookServer]:
    """A server for the length of a block, on a port of its own."""
    serving = WebhookServer(statuses=list(statuses))
    serving.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            serving.calls.put(Call(self.path, names, body))
            serving.go_on.wait(_WITHIN_S)
            status = serving.statuses.pop(0) if serving.statuses else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            answer = b"x" * 100_000
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            try:
                self.wfile.write(answer)
            except OSError:  # nobody reads it
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        serving.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
