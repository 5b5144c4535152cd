"""The span wrapper, off and on, without a network."""

from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.baggage import get_all
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from agentflow_telemetry import SpanPerRequest, Tracing, names
from agentflow_telemetry.asgi import ROUTE_KEY, route_of
from agentflow_telemetry.standard import resource_of


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the status its path ends in; its one route is the first that a request names."""
    scope["state"][ROUTE_KEY] = scope["route"]
    if scope["path"] == "/broken":
        raise RuntimeError("broken")
    await send(
        {"type": "http.response.start", "status": int(scope["path"].rsplit("/", 1)[-1]), "headers": []}
    )
    await send({"type": "http.response.body", "body": b"x"})


def request(
    path: str,
    route: str | None = "/v1/threads/{thread_id:str}",
    *,
    method: str = "GET",
    fields: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    headers = [(name.encode(), value.encode()) for name, value in (fields or {}).items()]
    return {"type": "http", "method": method, "path": path, "headers": headers, "route": route}


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
    ("template", "route"),
    [
        ("/ping", "/ping"),
        ("/", "/"),
        ("/v1/threads/", "/v1/threads"),
        ("/v1/threads/{thread_id:str}/state", "/v1/threads/{thread_id}/state"),
        ("/v1/runs/{run_id}", "/v1/runs/{run_id}"),
    ],
)
def test_routes_are_templates(template: str, route: str) -> None:
    """Without the framework's own words in them."""
    assert route_of(template) == route


async def test_a_span_per_request() -> None:
    """With method, route and status; the answer passes through as it is."""
    app, exporter = traced()
    sent = Sent()
    await app(request("/a/echo/v1/threads/secret/200"), nothing, sent)
    assert [message["type"] for message in sent.messages] == ["http.response.start", "http.response.body"]
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("GET /v1/threads/{thread_id}", SpanKind.SERVER)
    assert span.attributes == {
        names.METHOD: "GET",
        names.SCHEME: "http",
        names.ROUTE: "/v1/threads/{thread_id}",
        names.STATUS: 200,
    }
    assert span.status.is_unset


async def test_a_path_that_leads_nowhere_names_nothing() -> None:
    """Nor does a method that there is not: clients make up as many of both as they like."""
    app, exporter = traced()
    await app(request("/secret/404", route=None), nothing, Sent())
    await app(request("/secret/405", route=None, method="SECRET"), nothing, Sent())
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["GET", "HTTP"]
    assert not any("secret" in span.to_json().lower() for span in spans)


async def test_failures_are_marked() -> None:
    """A 500 and an exception are errors; a 404 is the client's."""
    app, exporter = traced()
    for path in ("/500", "/404"):
        await app(request(path), nothing, Sent())
    with pytest.raises(RuntimeError):
        await app(request("/broken"), nothing, Sent())
    spans = exporter.get_finished_spans()
    assert [span.status.status_code.name for span in spans] == ["ERROR", "UNSET", "ERROR"]
    assert [(span.attributes or {}).get(names.ERROR) for span in spans] == ["500", None, "RuntimeError"]


async def test_who_is_asked_says_the_credential_alone() -> None:
    """Of what comes with a request the trace is taken; its baggage and its vendor's words reach nobody."""
    app, exporter = traced()
    fields = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=secret",
        "baggage": "agentflow.tenant.id=secret",
    }
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(get_all())

    app._app = application
    await app(request("/200", fields=fields), nothing, Sent())
    (span,) = exporter.get_finished_spans()
    assert format(span.context.trace_id, "032x") == fields["traceparent"].split("-")[1]
    assert seen == [{}]
    assert not span.context.trace_state


async def test_off_is_off() -> None:
    """Without an endpoint nothing is wrapped: the application gets the server's own `send`."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(send)

    sent = Sent()
    wrapped = SpanPerRequest(app, service="test", tracing=Tracing("test", {}))
    await wrapped(request("/ping"), nothing, sent)
    assert seen == [sent]


@pytest.mark.parametrize(
    ("environment", "service"),
    [
        ({}, "agentflow-api"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=ours,deployment.environment.name=test"}, "ours"),
    ],
)
def test_the_service_is_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], service: str
) -> None:
    """By the standard's variables, before our own name for it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    attributes = resource_of("agentflow-api", {"service.instance.id": "one"}).attributes
    assert (attributes["service.name"], attributes["service.instance.id"]) == (service, "one")
