"""JSON text of plain data, exact or refused."""

from __future__ import annotations

import json
from typing import Any

from agentflow.errors import StateEncodingError


def json_text(value: Any, *, field: str) -> str:
    """`value` as compact JSON.

    Raises:
        StateEncodingError: It holds NaN, an infinity, half a surrogate pair, a number of
            thousands of digits, or anything else that is not data.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise unencodable(field, error) from error
    return text


def unencodable(field: str, error: Exception) -> StateEncodingError:
    """The error for a field that holds something else than data."""
    return StateEncodingError(
        f"State field {field!r} cannot be stored: {error}. Fields must hold plain data "
        "(text, finite numbers, booleans, lists, dicts, or pydantic models of them); "
        "the checkpoint before stays as it was.",
        field=field,
    )
