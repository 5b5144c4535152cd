"""A request's header fields as the server gives them.

The framework's own view of them is made for the first who asks, and kept for as long as the request is: that
is time of each request, and memory of each answer that stays open.
"""

from collections.abc import Mapping
from typing import Any

from litestar.connection import ASGIConnection


def field(scope: Mapping[str, Any], name: bytes) -> str | None:
    """The first field of a name, in lower case; None when there is none."""
    return next((value.decode("latin-1") for found, value in scope["headers"] if found == name), None)


def field_of(connection: ASGIConnection[Any, Any, Any, Any], name: bytes, default: str = "") -> str:
    """The same of a connection."""
    found = field(connection.scope, name)
    return default if found is None else found
