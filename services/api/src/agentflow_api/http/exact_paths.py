"""Paths that would be read as other ones than they are."""

from typing import Any, Final, cast

from litestar.types import ASGIApp, Receive, Scope, Send

_NO_SUCH_PATH: Final = "/-"


class ExactPaths:
    """Sends a path with an encoded slash or an empty thread id to where nothing is.

    The framework decodes before it splits and joins what an empty step left apart, so that
    `/v1/threads//state` would be the thread "state" and `/v1/threads/x%2Fstate` the state of "x".
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        raw: bytes = scope.get("raw_path") or b""
        if b"%2f" in raw.lower() or b"/threads//" in raw:
            scope = cast("Scope", {**scope, **_elsewhere()})
        await self._app(scope, receive, send)


def _elsewhere() -> dict[str, Any]:
    return {"path": _NO_SUCH_PATH, "raw_path": _NO_SUCH_PATH.encode()}
