"""Around everything below `/console`: whatever answers there has the same header fields, and HEAD works."""

from __future__ import annotations

from typing import Any, Final, cast

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from agentflow_api.console.door import PREFIX

HOME: Final = "/console"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# `same-origin`: a browser that sends no referrer says that a form comes from nowhere.
HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_IS_PAGE: Final = "console_page"


class ConsoleEdge:
    """Outside of all that may answer or refuse, so that no answer is without the fields.

    What an answer says itself stays: the styles and scripts are kept for good.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != ScopeType.HTTP or not f"{scope['path']}/".startswith(f"{HOME}/"):
            await self._app(scope, receive, send)
            return
        is_page = not scope["path"].startswith(PREFIX)
        is_head = is_page and scope["method"] == "HEAD"
        scope.setdefault("state", {})[_IS_PAGE] = is_page
        inner = cast("Scope", {**scope, "method": "GET"}) if is_head else scope

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = MutableScopeHeaders(message)
                for name, value in HEADERS.items():
                    fields.setdefault(name, value)
                if is_page and "GET" in fields.get("allow", "").split(", "):
                    fields["allow"] = ", ".join(sorted({*fields["allow"].split(", "), "HEAD"}))
            elif is_head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await self._app(inner, receive, send_with_fields)


def is_page(scope: Scope) -> bool:
    """Whether a request is for a page or a file of the console, however it was routed; not for the API."""
    state: dict[str, Any] = scope.get("state") or {}
    return bool(state.get(_IS_PAGE))
