"""A message on one line."""

from collections.abc import Mapping
from typing import Any


def message_line(message: Mapping[str, Any]) -> dict[str, Any]:
    """Who said it, and its text; what is no text is named by its kind."""
    parts = (part.get("text") or f"[{part.get('type', '?')}]" for part in message["content"] or ())
    return {"role": message["role"], "text": " ".join(parts), "message_id": message["message_id"]}
