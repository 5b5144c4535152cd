"""Who a change is put down to."""

import re
from typing import Any, Final

from litestar import Request

from agentflow_tenancy import Principal
from agentflow_tenancy.control_plane import Actor

_REQUEST_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def actor_of_key(request: Request[Any, Any, Any], principal: Principal) -> Actor:
    """A tenant's key."""
    return _actor(request, f"key:{principal.key_id}")


def actor_operator(request: Request[Any, Any, Any]) -> Actor:
    """Who runs the service."""
    return _actor(request, "operator")


def _actor(request: Request[Any, Any, Any], name: str) -> Actor:
    given = request.headers.get("x-request-id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else None
    return Actor(name, request.client.host if request.client else None, request_id)
