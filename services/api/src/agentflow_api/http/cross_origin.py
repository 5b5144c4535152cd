"""What browsers ask before a page of another origin may call, and what lets it read the answers."""

from collections.abc import Mapping, Sequence
from typing import Final

from litestar.config.cors import CORSConfig
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from agentflow_api.http.envelope import failure
from agentflow_api.http.fields import field

_METHODS: Final = "DELETE, GET, HEAD, PATCH, POST, PUT"
_TAKES: Final = "authorization, content-type, idempotency-key, last-event-id, traceparent, x-request-id"
_SHOWS: Final = (
    "idempotent-replayed, ratelimit, ratelimit-policy, retry-after, "
    "x-request-id, x-run-id, x-thread-id, x-thread-version, x-timestamp"
)
_REMEMBER_S: Final = 600


class CrossOrigin:
    """Stands before all else that answers, so that a page can read each refusal, too."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        """Let pages of these origins call; `*` is any, also as a part: `https://*.example.com`."""
        self._app = app
        self._origins = CORSConfig(allow_origins=list(origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer what a browser asks beforehand."""
        origin = field(scope, b"origin") if scope["type"] == ScopeType.HTTP else None
        if scope["type"] != ScopeType.HTTP or origin is None:
            await self._app(scope, receive, send)
            return
        fields = self._fields(origin)
        if scope["method"] == "OPTIONS" and field(scope, b"access-control-request-method") is not None:
            await _answer(fields, send)
            return

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders(message)
                for name, value in fields.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, send_with_fields)

    def _fields(self, origin: str) -> dict[str, str]:
        if self._origins.is_allow_all_origins:
            return {"access-control-allow-origin": "*", "access-control-expose-headers": _SHOWS}
        fields = {"vary": "Origin"}
        if self._origins.is_origin_allowed(origin):
            fields |= {"access-control-allow-origin": origin, "access-control-expose-headers": _SHOWS}
        return fields


async def _answer(fields: Mapping[str, str], send: Send) -> None:
    status, body, more = 204, b"", {}
    if "access-control-allow-origin" in fields:
        more = {
            "access-control-allow-methods": _METHODS,
            "access-control-allow-headers": _TAKES,
            "access-control-max-age": str(_REMEMBER_S),
        }
    else:
        refused = failure(403, "ORIGIN_NOT_ALLOWED", "Pages of this origin may not call this service.")
        status, body = 403, refused.content
        more = {**refused.headers, "content-type": "application/json", "content-length": str(len(body))}
    headers = [(name.lower().encode(), value.encode()) for name, value in {**fields, **more}.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
