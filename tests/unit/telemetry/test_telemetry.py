"""The span wrapper, off and on, without a network."""

import logging
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentflow_telemetry import SpanPerRequest, Tracing, configure_logging, names
from agentflow_telemetry.asgi import route_of


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the status its path ends in."""
    if scope["path"] == "/broken":
        raise RuntimeError("broken")
    await send(
        {"type": "http.response.start", "status": int(scope["path"].rsplit("/", 1)[-1]), "headers": []}
    )
    await send({"type": "http.response.body", "body": b"x"})


def request(path: str) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "headers": []}


class Sent:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)


def traced() -> tuple[SpanPerRequest, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing = Tracing("test", {})
    tracing._provider = TracerProvider()
    tracing._provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.traces_requests = True
    tracing.tracer = tracing._provider.get_tracer("test")
    return SpanPerRequest(application, service="test", tracing=tracing), exporter


async def nothing() -> Any:
    raise AssertionError("nobody asked for a body")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/ping", "/ping"),
        ("/v1/threads", "/v1/threads"),
        ("/v1/threads/tenant:user:1", "/v1/threads/{thread_id}"),
        ("/v1/observability/secret", "/v1/observability/{thread_id}"),
        ("/v1/threads/secret/state", "/v1/threads/{thread_id}/state"),
        ("/a/echo/v1/threads/secret/messages", "/v1/threads/{thread_id}/messages"),
        ("/a/echo/v1/graph/invoke", "/v1/graph/invoke"),
    ],
)
def test_routes_hold_no_ids(path: str, route: str) -> None:
    """A span's name is a template, whoever's thread it was."""
    assert route_of(path) == route


async def test_a_span_per_request() -> None:
    """With method, route, agent and status; the answer passes through as it is."""
    app, exporter = traced()
    sent = Sent()
    await app(request("/a/echo/v1/threads/secret/200"), nothing, sent)
    assert [message["type"] for message in sent.messages] == ["http.response.start", "http.response.body"]
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /v1/threads/{thread_id}/200"
    assert span.attributes == {
        names.METHOD: "GET",
        names.ROUTE: "/v1/threads/{thread_id}/200",
        names.AGENT: "echo",
        names.STATUS: 200,
    }
    assert span.status.is_unset


async def test_failures_are_marked() -> None:
    """A 500 and an exception are errors; a 404 is the client's."""
    app, exporter = traced()
    for path in ("/500", "/404"):
        await app(request(path), nothing, Sent())
    with pytest.raises(RuntimeError):
        await app(request("/broken"), nothing, Sent())
    statuses = [span.status.status_code.name for span in exporter.get_finished_spans()]
    assert statuses == ["ERROR", "UNSET", "ERROR"]


async def test_off_is_off() -> None:
    """Without an endpoint nothing is wrapped: the application gets the server's own `send`."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(send)

    sent = Sent()
    wrapped = SpanPerRequest(app, service="test", tracing=Tracing("test", {}))
    await wrapped(request("/ping"), nothing, sent)
    assert seen == [sent]


def test_log_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the level asked for, INFO when that is no level; clients' own request lines stay out."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        for given, meant in [("debug", logging.DEBUG), ("loud", logging.INFO), ("", logging.INFO)]:
            root.handlers.clear()
            monkeypatch.setenv("AGENTFLOW_LOG_LEVEL", given)
            configure_logging()
            assert root.level == meant
        assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    finally:
        root.handlers[:], root.level = handlers, level
