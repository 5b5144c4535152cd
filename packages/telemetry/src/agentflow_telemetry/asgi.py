"""One span per request, from a thin ASGI wrapper: a framework's plugin costs a multiple of it."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentflow_telemetry import names
from agentflow_telemetry.tracing import Tracing

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]

# Ids in paths become templates: a span's name must neither tell whose thread it was nor be one of millions.
_THREAD: Final = re.compile(r"^(/v1/(?:threads|observability)/)[^/]+")
_TRACE_FIELDS: Final = (b"traceparent", b"tracestate")
_W3C: Final = TraceContextTextMapPropagator()
_AGENT: Final = re.compile(r"^/a/([^/]+)(?=/)")


class SpanPerRequest:
    """Wraps an ASGI application; passes everything through untouched when tracing is off."""

    def __init__(self, app: App, *, service: str, tracing: Tracing | None = None) -> None:
        """Wrap the application.

        Args:
            app: Any ASGI application.
            service: Its name in traces.
            tracing: Made from the environment when None.
        """
        self._app = app
        self._tracing = tracing or Tracing(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's lifespan."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                self._tracing.close()
        elif not self._tracing.enabled:
            await self._app(scope, receive, send)
        else:
            await self._below(scope, receive, send)

    async def _below(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever is recorded of the request stands below what its `traceparent` names."""
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _TRACE_FIELDS
        }
        token = attach(_W3C.extract(carrier)) if carrier else None
        try:
            if scope["type"] == "http" and self._tracing.traces_requests:
                await self._traced(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            if token is not None:
                detach(token)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        agent = _AGENT.match(path)
        route = route_of(path)
        attributes = {names.METHOD: scope["method"], names.ROUTE: route}
        if agent:
            attributes[names.AGENT] = agent[1]
        name = names.REQUEST_SPAN.format(method=scope["method"], route=route)
        with self._tracing.tracer.start_as_current_span(
            name, kind=SpanKind.SERVER, attributes=attributes
        ) as span:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute(names.STATUS, message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, noting)


def route_of(path: str) -> str:
    """The path's template: agents and ids taken out."""
    return _THREAD.sub(r"\1{thread_id}", _AGENT.sub("", path))
