"""Chunks of a run as the JSON text that clients read."""

from __future__ import annotations

import json
import math
from typing import Any

from agentflow.core.graph import StreamChunk
from agentflow_hosting.views import message_view, public_state
from agentflow_tenancy import Principal


def chunk_text(chunk: StreamChunk, principal: Principal) -> str:
    """One chunk without its number in the run, with the thread's id as the tenant knows it."""
    thread_id = principal.public_id(chunk.thread_id)
    state = chunk.state
    return _text(
        {
            "event": chunk.event.value,
            "message": None if chunk.message is None else message_view(chunk.message),
            "state": None
            if state is None
            else public_state(state.model_dump(mode="json", warnings="none"), principal),
            "data": chunk.data,
            "thread_id": thread_id,
            "run_id": chunk.run_id,
            "metadata": {**chunk.metadata, "thread_id": thread_id},
            "timestamp": chunk.timestamp,
        }
    )


def numbered(text: str, seq: int) -> str:
    """A chunk's JSON text with its number, the last of its members."""
    return f'{text[:-1]},"seq":{seq}}}'


def _text(data: dict[str, Any]) -> str:
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:  # what a node's state holds for as long as no checkpoint refused it
        return json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    """The same data without numbers that JSON does not know."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
