"""Decorators of routes, as the framework's; a tenant's routes are let in here and not by its injection.

A handler that asks for its `principal` is called with what it names of the request, the process's parts, and
the path's parameters; one that asks for the `credential` lets it in itself, for longer than the request. The
framework's own way to the same (a dependency for each, resolved and checked by the handler's types) took a
fifth of a GET's time.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import litestar
from litestar import Request, Response

from agentflow_api.http.admission import Admission
from agentflow_api.http.credentials import provide_principal
from agentflow_api.wiring import Wiring

_GIVEN: Final = frozenset({"request", "principal", "credential", "wiring"})

type Decorator = Callable[[Callable[..., Any]], Any]


def _route(made: Callable[..., Decorator], path: str | list[str], **options: Any) -> Decorator:
    """A route; see the framework's decorator for the options."""
    decorate = made(path, **options)

    def decorated(handler: Callable[..., Any]) -> Any:
        asked = inspect.signature(handler).parameters
        if "principal" in asked:
            return decorate(_let_in(handler, _admitted))
        return decorate(_let_in(handler, _known) if "credential" in asked else handler)

    return decorated


get: Final = partial(_route, litestar.get)
post: Final = partial(_route, litestar.post)
put: Final = partial(_route, litestar.put)
patch: Final = partial(_route, litestar.patch)
delete: Final = partial(_route, litestar.delete)
route: Final = partial(_route, litestar.route)


def handler_of(served: Any) -> Callable[..., Awaitable[Response[bytes]]]:
    """What a tenant's route calls once a request is let in: for another route that is let in itself."""
    handler: Callable[..., Awaitable[Response[bytes]]] = served.fn.handler
    return handler


def is_let_in(served: Any) -> bool:
    """Whether it is a tenant's route, made here."""
    return hasattr(served.fn, "handler")


type _Way = Callable[
    [Request[Any, Any, Any], Wiring, Callable[..., Awaitable[Response[bytes]]], dict[str, Any]],
    Awaitable[Response[bytes]],
]


async def _admitted(
    request: Request[Any, Any, Any],
    wiring: Wiring,
    handler: Callable[..., Awaitable[Response[bytes]]],
    given: dict[str, Any],
) -> Response[bytes]:
    async with Admission(request, wiring) as principal:
        return await handler(principal=principal, **given)


async def _known(
    request: Request[Any, Any, Any],
    wiring: Wiring,
    handler: Callable[..., Awaitable[Response[bytes]]],
    given: dict[str, Any],
) -> Response[bytes]:
    return await handler(credential=await provide_principal(request, wiring), **given)


def _let_in(handler: Callable[..., Any], way: _Way) -> Callable[..., Any]:
    """What the framework calls: it lets the request in, and calls the handler with what that names."""
    names = inspect.signature(handler).parameters.keys()
    wants_request, wants_wiring, of_path = "request" in names, "wiring" in names, sorted(names - _GIVEN)

    async def let_in(request: Request[Any, Any, Any]) -> Response[bytes]:
        scope = request.scope
        wiring = scope["litestar_app"].state["wiring"]
        given: dict[str, Any] = {name: scope["path_params"][name] for name in of_path}
        if wants_request:
            given["request"] = request
        if wants_wiring:
            given["wiring"] = wiring
        return await way(request, wiring, handler, given)

    let_in.handler = handler  # type: ignore[attr-defined]
    let_in.__name__, let_in.__doc__ = handler.__name__, handler.__doc__
    let_in.__module__, let_in.__qualname__ = handler.__module__, handler.__qualname__
    return let_in
