"""A cached state's bytes, and back. What does not read as exactly what was written is a miss."""

from __future__ import annotations

import json
from collections.abc import Sequence

from agentflow.storage.checkpointer.cache_scripts import FORMAT
from agentflow.storage.checkpointer.types import BLOCKS, PLAIN_TEXT, Snapshot, StoredMessage
from agentflow.utils.jsontext import json_text


def encode_message(message: StoredMessage) -> str:
    """One row of the list."""
    row = [
        message.pos,
        message.message_id,
        message.role,
        message.content_kind,
        message.content,
        message.extra,
        message.sent_at,
    ]
    return json_text(row, field="context")


def decode_snapshot(state: Sequence[bytes | None], rows: Sequence[bytes]) -> Snapshot | None:
    """The entry as a snapshot; None for nothing, garbage, another format or a part of one.

    Args:
        state: Format, thread_no, head, next_pos, number of messages, fields.
        rows: The messages.
    """
    if len(state) != 6 or state[0] != FORMAT or None in state:
        return None
    try:
        thread_no, head, next_pos, count = (int(number or b"") for number in state[1:5])
        fields = json.loads(state[5] or b"")
        messages = [_decode_message(row) for row in rows]
    except (ValueError, TypeError, RecursionError):
        return None
    if count != len(messages) or head < 1 or not isinstance(fields, dict):
        return None
    return Snapshot(thread_no, head, next_pos, fields, messages)


def _decode_message(row: bytes) -> StoredMessage:
    values = json.loads(row)
    kinds = (int, str, str, int, str, str | None, float | None)
    if not all(isinstance(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise ValueError("not a message")
    if values[3] not in (PLAIN_TEXT, BLOCKS):
        raise ValueError("not a kind of content")
    return StoredMessage(*values)
