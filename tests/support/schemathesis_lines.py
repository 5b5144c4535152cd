"""How schemathesis sends a body of JSON lines: SCHEMATHESIS_HOOKS names this module."""

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def one_line(_context: Any, value: Any) -> bytes:
    """One object, on a line."""
    return json.dumps(value).encode() + b"\n"
