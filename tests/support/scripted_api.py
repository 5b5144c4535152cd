"""A service that answers as its script says, on a free port of this machine: for what a real one does rarely.

with ScriptedApi(ok("pong"), Reply(status=503), ...) as api:
    AgentFlowClient(api.base_url, "key").ping()
    assert api.asked[0].path == "/ping"
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

EVENTS = "text/event-stream"
NDJSON = "application/x-ndjson"


@dataclass
class Reply:
    """One scripted answer.

    Attributes:
        body: Bytes as they are, text likewise; anything else as JSON.
        pieces: A body that is sent piece by piece.
        cut: Close the connection behind the pieces, which then do not end; without any, instead of answering.
        held: Wait for this before answering.
        hung: Keep the connection open behind the pieces until this is set.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    pieces: Sequence[str | bytes] | None = None
    cut: bool = False
    held: threading.Event | None = None
    hung: threading.Event | None = None


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")


def ok(data: Any) -> Reply:
    """A success, in its envelope."""
    return Reply(body={"data": data, "metadata": {"request_id": "r1", "timestamp": "", "message": "OK"}})


def refusal(status: int, code: str, details: Sequence[Any] = (), **headers: str) -> Reply:
    """An error, in its envelope."""
    error = {"code": code, "message": f"What {code} means.", "details": list(details)}
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"error": error, "metadata": {"request_id": "r2", "timestamp": "", "message": ""}}
    return Reply(status, body, fields)


def chunk(seq: int | None, text: str = "", **more: Any) -> dict[str, Any]:
    """A message chunk of the run `r` on the thread `t`."""
    content = [{"type": "text", "text": text or f"say {seq}"}]
    message = {"message_id": f"m{seq}", "role": "assistant", "content": content}
    return {"event": "message", "message": message, "thread_id": "t", "run_id": "r", "seq": seq, **more}


def events(*chunks: Mapping[str, Any], end: str | None = None, **more: Any) -> Reply:
    """Chunks as server-sent events; `end` is the run's status at the end of them, None for none."""
    pieces = [f"id: {said['seq']}\nevent: message\ndata: {json.dumps(said)}\n\n" for said in chunks]
    if end is not None:
        pieces.append(f'event: end\ndata: {{"run_id": "r", "status": "{end}"}}\n\n')
    return _streamed(EVENTS, pieces, more)


def ndjson(*chunks: Mapping[str, Any], **more: Any) -> Reply:
    """Chunks, one a line."""
    return _streamed(NDJSON, [json.dumps(said, ensure_ascii=False) + "\n" for said in chunks], more)


def _streamed(content_type: str, pieces: list[str], more: dict[str, Any]) -> Reply:
    headers = {"x-run-id": "r", "x-thread-id": "t"}
    return Reply(content_type=content_type, **{"pieces": pieces, "headers": headers, **more})


class ScriptedApi:
    """The service; a context manager.

    Attributes:
        script: Answers still to be given; without one it is a missing thing.
        asked: Requests so far.
    """

    def __init__(self, *script: Reply) -> None:
        self.script = list(script)
        self.asked: list[Asked] = []
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def hung_up(self) -> bool:
        """Wait until a client closed its connection; False if none did in 10 s."""
        return self._server.closed.acquire(timeout=10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them, so none outlives its test

    def __init__(self, api: ScriptedApi) -> None:
        self.api = api
        self.closed = threading.Semaphore(0)
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)
        self.closed.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nothing to print."""

    def server_close(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # ends the wait for a next request
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        api = self.server.api
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = b"".join(self._body(headers))
        api.asked.append(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
        reply = api.script.pop(0) if api.script else refusal(404, "NOT_FOUND")
        if reply.held is not None:
            reply.held.wait(30)
        if reply.cut and reply.pieces is None:
            self.close_connection = True
        elif reply.pieces is None:
            self._whole(reply)
        else:
            self._piece_by_piece(reply)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base has it
        """Tests print nothing."""

    def _body(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        if headers.get("transfer-encoding") != "chunked":
            yield self.rfile.read(int(headers.get("content-length", "0")))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _head(self, reply: Reply, *more: tuple[str, str]) -> None:
        self.send_response(reply.status)
        for name, value in [("content-type", reply.content_type), *reply.headers.items(), *more]:
            self.send_header(name, value)
        self.end_headers()

    def _whole(self, reply: Reply) -> None:
        content = (
            _bytes(reply.body) if isinstance(reply.body, str | bytes) else json.dumps(reply.body).encode()
        )
        self._head(reply, ("content-length", str(len(content))))
        self.wfile.write(content)

    def _piece_by_piece(self, reply: Reply) -> None:
        self._head(reply, ("transfer-encoding", "chunked"))
        for piece in map(_bytes, reply.pieces or ()):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.flush()
        if reply.hung is not None:
            reply.hung.wait(30)
        if reply.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
