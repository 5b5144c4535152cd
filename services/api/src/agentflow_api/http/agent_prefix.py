"""`/a/{agent}` before any path chooses the agent; the routes behind it are the same."""

from typing import Any, Final, cast

from litestar.types import ASGIApp, Receive, Scope, Send

AGENT_KEY: Final = "agentflow.agent"

_PREFIX: Final = "/a/"


class AgentPrefix:
    """Takes the prefix off the path and notes the agent in the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path: str = scope.get("path", "")
        if scope["type"] in ("http", "websocket") and path.startswith(_PREFIX):
            agent, slash, rest = path[len(_PREFIX) :].partition("/")
            if agent and slash:
                changed: dict[str, Any] = {
                    "path": f"/{rest}",
                    "raw_path": f"/{rest}".encode(),
                    AGENT_KEY: agent,
                }
                scope = cast("Scope", {**scope, **changed})
        await self._app(scope, receive, send)
