"""The application: routes, dependencies, and what they share."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from litestar import Litestar, Request, get
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import MediaType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from agentflow_api.audit.routes import audit_router
from agentflow_api.graph.routes import graph_router
from agentflow_api.health.routes import ping, ready
from agentflow_api.http.admission import provide_admitted
from agentflow_api.http.agent_prefix import AgentPrefix
from agentflow_api.http.credentials import provide_operator, provide_principal
from agentflow_api.http.doorkeeper import Doorkeeper
from agentflow_api.http.errors import answer_error
from agentflow_api.http.exact_paths import ExactPaths
from agentflow_api.keys.routes import keys_router
from agentflow_api.lifetime import told_to_stop
from agentflow_api.operations.routes import operations_router
from agentflow_api.settings import Settings, read_settings
from agentflow_api.tenants.routes import tenants_router
from agentflow_api.threads.routes import threads_router
from agentflow_api.tokens.routes import tokens_router
from agentflow_api.usage.routes import usage_router
from agentflow_api.wiring import Wiring, opened
from agentflow_telemetry import SpanPerRequest

_JSON: Final = JsonRenderPlugin(path="/openapi.json")
# Every route by its path and method.
_DOCUMENT: Final = OpenAPIConfig(
    title="AgentFlow Cloud", version="1", path="/openapi", render_plugins=[_JSON]
)


@get("/openapi.json", include_in_schema=False, media_type=MediaType.JSON)
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The document; no page of it, which would load things from elsewhere."""
    return request.app.openapi_schema.to_schema()


def provide_wiring(state: State) -> Wiring:
    """The process's parts, opened with the application."""
    wiring: Wiring = state["wiring"]
    return wiring


def create_app(settings: Settings | None = None) -> SpanPerRequest:
    """The ASGI application.

    Args:
        settings: Read from the environment when None.

    Raises:
        SettingsError: A setting is missing or malformed.
    """
    chosen = settings or read_settings()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        async with opened(chosen) as wiring, told_to_stop(wiring.runs.stop):
            app.state["wiring"] = wiring
            yield

    cors = CORSConfig(
        allow_origins=list(chosen.cors_origins),
        allow_headers=["authorization", "content-type"],
        expose_headers=["x-request-id", "x-timestamp", "ratelimit", "ratelimit-policy", "retry-after"],
    )
    app = Litestar(
        route_handlers=[
            ping,
            ready,
            openapi,
            graph_router,
            threads_router,
            usage_router,
            keys_router,
            tenants_router,
            audit_router,
            operations_router,
            tokens_router,
        ],
        dependencies={
            "wiring": Provide(provide_wiring, sync_to_thread=False),
            "credential": Provide(provide_principal),
            "principal": Provide(provide_admitted),
            "operator": Provide(provide_operator),
        },
        exception_handlers={Exception: answer_error},
        lifespan=[lifespan],
        cors_config=cors if chosen.cors_origins else None,
        openapi_config=_DOCUMENT,
        logging_config=None,  # the process's own, set before
        request_max_body_size=None,  # read_json keeps the limit, with this service's own answer
    )
    return SpanPerRequest(ExactPaths(Doorkeeper(AgentPrefix(app))), service="agentflow-api")
