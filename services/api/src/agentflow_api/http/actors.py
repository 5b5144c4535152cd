"""Who a change is put down to."""

from typing import Any

from litestar import Request

from agentflow_api.http.request_ids import request_id
from agentflow_tenancy import Principal
from agentflow_tenancy.control_plane import Actor


def actor_of_key(request: Request[Any, Any, Any], principal: Principal) -> Actor:
    """A tenant's key."""
    return _actor(request, f"key:{principal.key_id}")


def actor_operator(request: Request[Any, Any, Any]) -> Actor:
    """Who runs the service."""
    return _actor(request, "operator")


def _actor(request: Request[Any, Any, Any], name: str) -> Actor:
    return Actor(name, request.client.host if request.client else None, request_id())
