"""Tenants' routes, called without the framework's own steps between a route and its handler.

Those resolve, check and clean up what these handlers do not use: guards, injected arguments, hooks, caches,
an exit stack for each request. They took a seventh of a GET's time. Which route a path is, says the
framework; whatever is not plainly a tenant's route goes to it as before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from litestar import Litestar, Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from agentflow_api.http.envelope import JsonAnswer
from agentflow_api.http.routing import is_let_in
from agentflow_telemetry.asgi import ROUTE_KEY

# What the framework would not normalise, nor refuse.
_PLAIN_HOST: Final = re.compile(rb"[A-Za-z0-9.:\[\]-]+")


class DirectRoutes:
    """Answers what is a tenant's route; passes everything else on."""

    def __init__(
        self,
        app: ASGIApp,
        framework: Litestar,
        answer_error: Callable[[Request[Any, Any, Any], Exception], Any],
    ) -> None:
        """Look at the framework's routes once.

        Args:
            app: For everything else.
            framework: Knows the routes.
            answer_error: The answer to whatever a handler raises.
        """
        self._app = app
        self._framework = framework
        self._answer_error = answer_error
        self._find = framework.asgi_router.handle_routing
        self._handlers = frozenset(
            handler
            for route in framework.routes
            if isinstance(route, HTTPRoute)
            for handler in route.route_handlers
            if is_let_in(handler)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if not (scope["type"] == ScopeType.HTTP and self._is_direct(scope)):
            await self._app(scope, receive, send)
            return
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        try:
            answer = await scope["route_handler"].fn(request)
        except Exception as error:  # noqa: BLE001 - each has its answer
            answer = self._answer_error(request, error)
        if type(answer) is JsonAnswer:
            await answer.send(send)
        else:
            await self._send(answer, request)

    def _is_direct(self, scope: Any) -> bool:
        """Whether it is a tenant's route; then the scope says which one, as the framework's would."""
        path: str = scope["path"]
        if "//" in path or path.endswith("/") or scope.get("root_path") or not _has_plain_host(scope):
            return False
        try:
            _, handler, path, parameters, template = self._find(path=path, method=scope["method"])
        except HTTPException:  # the framework says what is wrong with it
            return False
        if handler not in self._handlers:
            return False
        state = scope.setdefault("state", {})
        state[ROUTE_KEY] = template
        scope["app"] = scope["litestar_app"] = self._framework
        scope["path_params"] = parameters
        scope["path_template"] = template
        scope["route_handler"] = handler
        return True

    async def _send(self, answer: Response[Any], request: Request[Any, Any, Any]) -> None:
        """One of the framework's own, such as a stream; an error before its first byte is answered."""
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await request.send(message)

        try:
            ready = await request.route_handler.to_response(app=self._framework, data=answer, request=request)
            await ready(request.scope, request.receive, noting)
        except Exception as error:  # any may come before the first byte
            if has_begun:
                raise
            await self._answer_error(request, error).send(request.send)


def _has_plain_host(scope: Any) -> bool:
    for name, value in scope["headers"]:
        if name == b"host":
            return _PLAIN_HOST.fullmatch(value) is not None
    return False
