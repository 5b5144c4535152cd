"""How schemathesis sends bodies of JSON lines and archives: SCHEMATHESIS_HOOKS names this module."""

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def one_line(_context: Any, value: Any) -> bytes:
    """One object, on a line."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.serializer("application/x-tar")
def as_it_is(_context: Any, value: Any) -> bytes:
    """What is hardly ever an archive."""
    return value if isinstance(value, bytes) else str(value).encode()
