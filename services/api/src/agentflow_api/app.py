"""The application: routes, dependencies, and what they share."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

from agentflow_api.audit.routes import audit_router
from agentflow_api.console.door import ConsoleDoor
from agentflow_api.console.edge import ConsoleEdge, is_page
from agentflow_api.console.errors import show_error
from agentflow_api.console.routes import console_router
from agentflow_api.console.session.seal import Seal
from agentflow_api.documents.routes import documents_router
from agentflow_api.exports.downloading import download_export
from agentflow_api.exports.operator_routes import operators_exports_router
from agentflow_api.exports.routes import exports_router
from agentflow_api.graph.routes import graph_router
from agentflow_api.graph.tool_routes import get_state_schema
from agentflow_api.graph.websocket import sockets_router
from agentflow_api.health.operator_routes import health_router
from agentflow_api.health.routes import ping, ready
from agentflow_api.history.routes import history_router
from agentflow_api.http.agent_prefix import AgentPrefix
from agentflow_api.http.allowed_methods import AllowedMethods
from agentflow_api.http.credentials import provide_leaver, provide_operator
from agentflow_api.http.cross_origin import CrossOrigin
from agentflow_api.http.direct_routes import DirectRoutes
from agentflow_api.http.doorkeeper import Doorkeeper
from agentflow_api.http.errors import answer_error
from agentflow_api.http.exact_paths import ExactPaths
from agentflow_api.http.long_answers import LongAnswers
from agentflow_api.http.ping import Ping
from agentflow_api.keys.routes import keys_router
from agentflow_api.lifetime import told_to_stop
from agentflow_api.metrics.routes import get_metrics
from agentflow_api.observability.routes import observability_router
from agentflow_api.offboarding.receipts import receipts_router
from agentflow_api.offboarding.routes import offboarding_router
from agentflow_api.operations.routes import operations_router
from agentflow_api.retention.routes import retention_router
from agentflow_api.runs.routes import runs_router, thread_runs_router
from agentflow_api.settings import Settings, read_settings
from agentflow_api.tenants.routes import tenants_router
from agentflow_api.threads.routes import threads_router
from agentflow_api.threads.search.routes import search_router
from agentflow_api.tokens.routes import tokens_router
from agentflow_api.unavailable.routes import files_router, memory_router
from agentflow_api.usage.routes import usage_router
from agentflow_api.webhooks.routes import get_webhook_secret
from agentflow_api.wiring import Wiring, opened
from agentflow_hosting.trace_collector import TraceCollector
from agentflow_telemetry import Metrics, Mode, SpanPerRequest, installed
from agentflow_telemetry.processes import FOLDER_VARIABLE


def provide_wiring(state: State) -> Wiring:
    """The process's parts, opened with the application."""
    wiring: Wiring = state["wiring"]
    return wiring


def create_app(settings: Settings | None = None) -> LongAnswers:
    """The ASGI application.

    Args:
        settings: Read from the environment when None.

    Raises:
        SettingsError: A setting is missing or malformed.
    """
    chosen = settings or read_settings()
    collector = TraceCollector() if chosen.store_traces else None
    metrics = _metrics(chosen)
    tracing = installed("agentflow-api", metrics, [] if collector is None else [collector])

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        async with opened(chosen, collector, metrics) as wiring, told_to_stop(wiring.stop):
            app.state["wiring"] = wiring
            yield

    app = Litestar(
        route_handlers=[
            ping,
            ready,
            get_metrics,
            health_router,
            documents_router,
            graph_router,
            get_state_schema,
            sockets_router,
            threads_router,
            memory_router,
            files_router,
            history_router,
            observability_router,
            search_router,
            thread_runs_router,
            runs_router,
            usage_router,
            retention_router,
            keys_router,
            tenants_router,
            audit_router,
            operations_router,
            offboarding_router,
            receipts_router,
            tokens_router,
            exports_router,
            operators_exports_router,
            download_export,
            get_webhook_secret,
            *((console_router,) if chosen.console else ()),
        ],
        dependencies={
            "wiring": Provide(provide_wiring, sync_to_thread=False),
            "leaver": Provide(provide_leaver),
            "operator": Provide(provide_operator),
        },
        exception_handlers={Exception: _answer_error},
        lifespan=[lifespan],
        openapi_config=None,  # documents/ makes it
        logging_config=None,  # the process's own, set before
        request_max_body_size=None,  # read_json keeps the limit, with this service's own answer
    )
    routed = AgentPrefix(DirectRoutes(AllowedMethods(app, app.routes), app, _answer_error))
    app.state["api"] = routed
    behind: ASGIApp = routed
    if chosen.console:
        behind = ConsoleDoor(routed, Seal(chosen.key_pepper), https=chosen.console_https)
    answering: ASGIApp = Ping(ExactPaths(Doorkeeper(behind)))
    if chosen.cors_origins:
        answering = CrossOrigin(answering, chosen.cors_origins)
    if chosen.console:
        answering = ConsoleEdge(answering)
    return LongAnswers(SpanPerRequest(answering, service="agentflow-api", tracing=tracing))


def _answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """People are told by a page, also where there is none."""
    return (show_error if is_page(request.scope) else answer_error)(request, error)


def _metrics(settings: Settings) -> Metrics | None:
    if settings.telemetry.mode is Mode.OFF:
        return None
    folder = os.environ.get(FOLDER_VARIABLE) if settings.workers > 1 else None
    return Metrics("agentflow-api", settings=settings.telemetry, folder=folder)
