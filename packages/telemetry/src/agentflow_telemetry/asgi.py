"""One span per request, from a thin ASGI wrapper: a framework's plugin costs a multiple of it."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, Final

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentflow_telemetry import names
from agentflow_telemetry.tracing import Tracing

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]

# Where, in a request's state, the application writes the template of the path that it chose.
ROUTE_KEY: Final = "agentflow.route"

# The one field that is read: `tracestate` and `baggage` are a client's own words, which nobody here passes
# on. Who a request is for, its credential says.
_TRACE_FIELD: Final = b"traceparent"
_W3C: Final = TraceContextTextMapPropagator()
_NOWHERE: Final = Context()
_PARAMETER: Final = re.compile(r"{(\w+):\w+}")
_OTHER: Final = "_OTHER"
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))


class SpanPerRequest:
    """Wraps an ASGI application; passes everything through untouched when tracing is off."""

    def __init__(self, app: App, *, service: str, tracing: Tracing | None = None) -> None:
        """Wrap the application.

        Args:
            app: Any ASGI application. It says which route it took in the request's state, by `ROUTE_KEY`.
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
        elif scope["type"] == "http" and self._tracing.traces_requests:
            await self._traced(scope, receive, send)
        else:
            await self._below(scope, receive, send)

    async def _below(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is asked stands below what its `traceparent` names; a socket, open for days, is no span."""
        token = attach(_context_of(scope))
        try:
            await self._app(scope, receive, send)
        finally:
            detach(token)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        attributes = {names.METHOD: method, names.SCHEME: scope.get("scheme", "http")}
        parent = _context_of(scope)
        span = self._tracing.tracer.start_span(
            _span_name(method), context=parent, kind=SpanKind.SERVER, attributes=attributes
        )

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute(names.STATUS, message["status"])
                if message["status"] >= 500:
                    span.set_attribute(names.ERROR, str(message["status"]))
                    span.set_status(StatusCode.ERROR)
            await send(message)

        state = scope.setdefault("state", {})
        token = attach(set_span_in_context(span, parent))
        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # it goes on to the server: here it is only told
            span.set_attribute(names.ERROR, type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            detach(token)
            _name(span, method, state.get(ROUTE_KEY))
            span.end()


def _span_name(method: str) -> str:
    return "HTTP" if method == _OTHER else method


def _name(span: Span, method: str, template: str | None) -> None:
    """By its route, which is one of few; a path that leads nowhere names nothing."""
    if not template:
        return
    route = route_of(template)
    span.update_name(f"{_span_name(method)} {route}")
    span.set_attribute(names.ROUTE, route)


@lru_cache(maxsize=512)
def route_of(template: str) -> str:
    """A framework's template, without the types of its parameters: `/v1/threads/{thread_id}`."""
    return _PARAMETER.sub(r"{\1}", template).rstrip("/") or "/"


def _context_of(scope: Scope) -> Context:
    """What a request's `traceparent` names; nothing of the process it came in by."""
    for name, value in scope["headers"]:
        if name == _TRACE_FIELD:
            return _W3C.extract({"traceparent": value.decode("latin-1")}, _NOWHERE)
    return _NOWHERE
