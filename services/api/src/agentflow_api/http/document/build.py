"""The document, made of the application's routes and what is said of each."""

import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any, Final

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from agentflow_api.http.document import failures
from agentflow_api.http.document.described import OPERATORS, Described, Operations
from agentflow_api.http.document.parameters import in_path
from agentflow_api.http.document.shapes import Shape, merged, plain

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
_SCHEMES: Final = {
    "tenant": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of a tenant, `af_live_...`, or a token minted from one.",
    },
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "The operator's token, AGENTFLOW_OPERATOR_TOKEN.",
    },
}


class UndescribedError(LookupError):
    """An operation is served that nothing is said of, or the other way round."""


def document_of(app: Litestar, known: Operations, *, info: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        app: Whose routes.
        known: What is said of each, by method and path: `GET /v1/threads/{thread_id}`.
        info: The document's own words: `info`, `tags`, `servers`.

    Raises:
        UndescribedError: See there.
    """
    served = {f"{method} {path}": handler for method, path, handler in _served(app)}
    if different := served.keys() ^ known.keys():
        raise UndescribedError(", ".join(sorted(different)))
    paths: dict[str, Any] = {}
    for key, handler in sorted(served.items()):
        method, path = key.split(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(path, handler, known[key])
    return {
        "openapi": "3.1.0",
        **info,
        "paths": paths,
        "components": {
            "schemas": dict(sorted(merged(_shapes(known.values())).items())),
            "responses": failures.responses(),
            "securitySchemes": _SCHEMES,
        },
    }


def _served(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if handler.resolve_include_in_schema():
                    yield str(method), route.path_format, handler


def _shapes(operations: Iterable[Described]) -> Iterator[Shape]:
    yield failures.FAILURE
    for operation in operations:
        own = (operation.answer, operation.body, operation.line_body, operation.line_answer)
        yield from (shape for shape in own if shape is not None)
        yield from operation.streams.values()


def _operation(path: str, handler: HTTPRouteHandler, said: Described) -> dict[str, Any]:
    words = cleandoc(handler.fn.__doc__ or "")
    operation: dict[str, Any] = {
        "operationId": said.operation_id or handler.handler_name,
        "summary": words.split("\n", 1)[0].rstrip("."),
        "description": words,
        "tags": [said.tag],
        "security": _security(path),
        "parameters": [in_path(name) for name in re.findall(r"{(\w+)}", path)] + list(said.all_parameters()),
        "responses": _responses(path, said),
    }
    if said.body is not None:
        bodies = {JSON: said.body} | ({} if said.line_body is None else {LINES: said.line_body})
        content = {
            media: {"schema": shape.schema, "example": shape.example} for media, shape in bodies.items()
        }
        operation["requestBody"] = {"required": said.needs_body, "content": content}
    elif said.takes:
        content = {
            media: {"schema": shape.schema, "example": shape.example} for media, shape in said.takes.items()
        }
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _security(path: str) -> list[dict[str, list[str]]]:
    if path.startswith(OPERATORS):
        return [{"operator": []}]
    return [{"tenant": []}] if path.startswith("/v1/") else []


def _responses(path: str, said: Described) -> dict[str, Any]:
    shapes = _answers(said)
    good = dict.fromkeys((said.status, *said.also), _good(path, said, shapes)) if shapes else {}
    bad = {status: failures.reference(status) for status in said.statuses(path)}
    return {str(status): answer for status, answer in (good | bad).items()}


def _answers(said: Described) -> Mapping[str, Shape]:
    """Good answers by their media type."""
    if said.answer is None:
        return said.streams
    lines = {} if said.line_answer is None else {LINES: said.line_answer}
    if said.enveloped:
        return {JSON: plain({"data": said.answer, "metadata": failures.METADATA})} | lines
    return {JSON: said.answer}


def _good(path: str, said: Described, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    headers = {**(failures.COMMON_HEADERS if said.enveloped else {}), **said.headers}
    if path.startswith("/v1/") and not path.startswith(OPERATORS):
        headers |= failures.RATE_HEADERS
    if said.repeatable and not said.streams:
        headers["idempotent-replayed"] = failures.header("`true` on an answer that was given before.")
    return {
        "description": "Done." if said.status != 202 else "Taken on.",
        "headers": headers,
        "content": {
            media: {"schema": shape.schema, "example": shape.example} for media, shape in shapes.items()
        },
    }
