"""`/console/api/...`: the API's own routes for a page's scripts, by the session instead of a key."""

from __future__ import annotations

from typing import Any, Final, cast

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from agentflow_api.console.session.cookies import given_session, is_secure
from agentflow_api.console.session.origins import is_own_page
from agentflow_api.console.session.seal import Seal
from agentflow_api.http.envelope import failure
from agentflow_api.http.sessions import admit

PREFIX: Final = "/console/api/"
# The header field that a page's scripts send a form's token in.
FORM_TOKEN: Final = b"x-form-token"
_UNKEPT: Final = ((b"cache-control", b"no-store"), (b"vary", b"cookie"))
_FORGOTTEN: Final = (b"cookie", b"authorization", FORM_TOKEN)


class ConsoleDoor:
    """Takes a signed-in page's own calls to the API's routes; streams pass through as they come."""

    def __init__(self, app: ASGIApp, seal: Seal, *, https: bool) -> None:
        self._app = app
        self._seal = seal
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, as the API's if it is for it."""
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        secure = is_secure(connection, https=self._https)
        session = self._seal.read(given_session(connection, secure=secure))
        headers = dict(scope["headers"])
        token = headers.get(FORM_TOKEN, b"").decode("latin-1")
        if session is None:
            await failure(401, "INVALID_CREDENTIAL", "Sign in again: this session is over.").send(send)
        elif not (is_own_page(connection, secure=secure) and self._seal.is_form_token(session, token)):
            refusal = "This call is not from a page of this session; load it anew."
            await failure(403, "FORBIDDEN", refusal).send(send)
        else:
            path = scope["path"][len(PREFIX) - 1 :]
            raw = (scope.get("raw_path") or path.encode())[len(PREFIX) - 1 :]
            kept = [(name, value) for name, value in scope["headers"] if name.lower() not in _FORGOTTEN]
            inner = cast("dict[str, Any]", scope)
            inner |= {"path": path, "raw_path": raw, "headers": kept}
            admit(inner, session)
            await self._app(scope, receive, _unkept(send))


def _unkept(send: Send) -> Send:
    """What a cookie opened is for who holds it."""

    async def send_unkept(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_UNKEPT]
        await send(message)

    return send_unkept
