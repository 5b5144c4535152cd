"""The header field `Allow`: what a path takes, on each refusal of a method and each answer to OPTIONS."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from agentflow_telemetry.asgi import ROUTE_KEY

_REFUSED: Final = 405


class AllowedMethods:
    """Sets the field. The framework refuses without it, and answers OPTIONS with one route of several."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._methods = _by_path(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        is_refused = False

        async def send_with_field(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start":
                is_refused = message["status"] == _REFUSED
                if is_refused or any(name == b"allow" for name, _ in message["headers"]):
                    MutableScopeHeaders(message)["allow"] = ", ".join(self.of(scope["path"]))
            await send(message)

        try:
            await self._app(scope, receive, send_with_field)
        finally:
            # For whoever is outside: the routes that are there are few, the paths that are asked for are not,
            # nor are methods that no route takes.
            template = None if is_refused else scope.get("path_template")
            scope.setdefault("state", {})[ROUTE_KEY] = template

    def of(self, path: str) -> list[str]:
        """What a path takes: of all the routes that it fits, the one with the fewest parameters."""
        whole = path.rstrip("/") or "/"
        found = [
            (pattern.groups, methods)
            for pattern, methods in self._methods.items()
            if pattern.fullmatch(whole)
        ]
        return sorted(min(found, key=lambda one: one[0])[1]) if found else []


def _by_path(routes: Iterable[BaseRoute]) -> Mapping[re.Pattern[str], set[str]]:
    methods: dict[str, set[str]] = {}
    for route in routes:
        if isinstance(route, HTTPRoute):
            methods.setdefault(route.path_format, set()).update(str(method) for method in route.methods)
    return {_pattern(path): found for path, found in methods.items()}


def _pattern(path: str) -> re.Pattern[str]:
    steps = re.split(r"{\w+}", path)
    return re.compile("([^/]+)".join(map(re.escape, steps)))
