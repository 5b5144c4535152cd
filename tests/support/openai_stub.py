"""An endpoint that speaks the chat completions protocol, plain and streamed, on a free port of this machine.

Answers come from a script, in order; without one it repeats what the user said last. Connections are kept
alive, as real endpoints keep them.

    with OpenAIStub() as stub:
        stub.script += [Reply(calls=[("add", {"a": 1, "b": 2})]), Reply("3")]
        agent = Agent("some-model", base_url=stub.base_url, api_key="key")
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]

USAGE: Json = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


@dataclass
class Reply:
    """One scripted answer.

    Attributes:
        text: What the model says; streamed in the pieces of `pieces`, else word by word.
        calls: Tool calls: (name, arguments), arguments a dict or the raw text, ids `call_<n>`.
        ids: Ids of the calls, where others are wanted.
        status: Other than 200: a refusal with `error` as its message.
        choices: False: no choice at all.
        cut: Close the connection after this many chunks of a stream, or instead of a plain answer.
        deltas: The stream's deltas, verbatim, instead of those made of text and calls.
        held: Wait for this before answering.
    """

    text: str | None = None
    calls: Sequence[tuple[str, Json | str]] = ()
    ids: Sequence[str] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    usage: Json | None = field(default_factory=lambda: dict(USAGE))
    status: int = 200
    error: str = "scripted refusal"
    choices: bool = True
    cut: int | None = None
    pieces: Sequence[str] | None = None
    deltas: Sequence[Json] | None = None
    held: threading.Event | None = None

    @property
    def finish(self) -> str:
        return self.finish_reason or ("tool_calls" if self.calls else "stop")

    def tool_calls(self, first: int) -> list[Json]:
        ids = self.ids or [f"call_{first + i}" for i in range(len(self.calls))]
        return [
            {
                "id": call_id,
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": given if isinstance(given, str) else json.dumps(given),
                },
            }
            for call_id, (name, given) in zip(ids, self.calls, strict=True)
        ]


@dataclass(frozen=True)
class Asked:
    """A request that came in: its body, the key, the port that it came from, and its trace context."""

    body: Json
    key: str | None
    port: int
    traceparent: str | None

    @property
    def messages(self) -> list[Json]:
        messages: list[Json] = self.body["messages"]
        return messages


class OpenAIStub:
    """The endpoint; a context manager.

    Attributes:
        script: Answers still to be given.
        asked: Requests so far.
    """

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.asked: list[Asked] = []
        self.calls_made = 0
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def hung_up(self, clients: int) -> bool:
        """Wait until so many connections were closed by their clients; False if they were not in 10 s."""
        return all(self._server.closed.acquire(timeout=10) for _ in range(clients))

    def next_reply(self, body: Json) -> Reply:
        if self.script:
            return self.script.pop(0)
        said = [message["content"] for message in body["messages"] if message["role"] == "user"]
        return Reply(f"You said: {said[-1] if said else 'nothing'}")


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them, so none outlives its test

    def __init__(self, stub: OpenAIStub) -> None:
        self.stub = stub
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

    def do_POST(self) -> None:
        body: Json = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = (self.headers["authorization"] or "").removeprefix("Bearer ") or None
        stub = self.server.stub
        stub.asked.append(Asked(body, key, self.client_address[1], self.headers["traceparent"]))
        reply = stub.next_reply(body)
        if reply.held is not None:
            reply.held.wait(30)
        if reply.status != 200:
            self._refuse(reply)
        elif body.get("stream"):
            self._stream(reply, self._calls(reply), with_usage=bool(body.get("stream_options")))
        elif reply.cut is not None:
            self.close_connection = True
        else:
            self._whole(reply, self._calls(reply))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base has it
        """Tests print nothing."""

    def _calls(self, reply: Reply) -> list[Json]:
        calls = reply.tool_calls(self.server.stub.calls_made)
        self.server.stub.calls_made += len(calls)
        return calls

    def _refuse(self, reply: Reply) -> None:
        # The client waits as long as it is told before it tries again.
        self._json(reply.status, {"error": {"message": reply.error}}, {"retry-after-ms": "1"})

    def _whole(self, reply: Reply, calls: list[Json]) -> None:
        message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
        if calls:
            message["tool_calls"] = calls  # type: ignore[assignment]
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        choice = {"index": 0, "message": message, "finish_reason": reply.finish}
        body = {"id": "c", "object": "chat.completion", "created": 0, "model": "stub", "usage": reply.usage}
        self._json(200, {**body, "choices": [choice] if reply.choices else []}, {})

    def _json(self, status: int, body: Json, headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, reply: Reply, calls: list[Json], *, with_usage: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, chunk in enumerate(_chunks(reply, calls, with_usage=with_usage)):
            if number == reply.cut:
                self.close_connection = True
                return
            self._send(f"data: {json.dumps(chunk)}\n\n")
        self._send("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, event: str) -> None:
        data = event.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _chunks(reply: Reply, calls: list[Json], *, with_usage: bool) -> Iterable[Json]:
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "stub"}
    deltas = list(_deltas(reply, calls)) if reply.deltas is None else reply.deltas
    for delta in deltas if reply.choices else ():
        yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    if reply.choices:
        yield {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish}]}
    if with_usage:
        yield {**frame, "choices": [], "usage": reply.usage}


def _deltas(reply: Reply, calls: list[Json]) -> Iterable[Json]:
    yield {"role": "assistant", "content": ""}
    if reply.reasoning:
        yield {"reasoning_content": reply.reasoning}
    if reply.text is not None:
        words = reply.text.split(" ")
        spaced = [*(f"{word} " for word in words[:-1]), words[-1]]
        for piece in spaced if reply.pieces is None else reply.pieces:
            yield {"content": piece}
    if reply.refusal:
        yield {"refusal": reply.refusal}
    # Calls begin one after the other, then their arguments come in small pieces, interleaved.
    for index, call in enumerate(calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        yield {"tool_calls": [{**call, "index": index, "function": function}]}
    longest = max((len(call["function"]["arguments"]) for call in calls), default=0)
    for at in range(0, longest, 4):
        for index, call in enumerate(calls):
            piece = call["function"]["arguments"][at : at + 4]
            if piece:
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
