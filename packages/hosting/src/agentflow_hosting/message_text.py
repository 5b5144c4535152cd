"""Stored messages as the JSON text that clients read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from agentflow.core.state import Message
from agentflow.core.state.codec import decode_message
from agentflow.storage.checkpointer import StoredMessage
from agentflow.storage.checkpointer.thread_memory import SharedContext
from agentflow.storage.checkpointer.types import PLAIN_TEXT
from agentflow_hosting.views import message_view

# Its name among what is made of a context.
_TEXT: Final = "messages"
_quoted: Final[Callable[[str], str]] = json.encoder.encode_basestring


def _pieces() -> list[str]:
    """What stands between the varying parts of a message of one text, in the order of `_PARTS`."""
    like = Message(
        message_id="<id>", role="user", content=Message.text_message("<text>").content, timestamp=None
    )
    text = json.dumps({**message_view(like), "role": "<role>", "timestamp": "<time>"}, separators=(",", ":"))
    pieces = []
    for part in ("<id>", "<role>", "<text>", "<time>"):
        piece, text = text.split(f'"{part}"')
        pieces.append(piece)
    return [*pieces, text]


# Most messages are a text and nothing else: they are put together, not built and taken apart again.
_TO_ID, _TO_ROLE, _TO_TEXT, _TO_TIME, _END = _pieces()


def message_text(row: StoredMessage) -> str:
    """One message; the same as its view as JSON.

    Raises:
        CorruptStateError: It is not what was stored.
    """
    if row.content_kind == PLAIN_TEXT and not row.extra:
        time = "null" if row.sent_at is None else repr(row.sent_at)
        texts = _quoted(row.message_id), _quoted(row.role), _quoted(row.content)
        return f"{_TO_ID}{texts[0]}{_TO_ROLE}{texts[1]}{_TO_TEXT}{texts[2]}{_TO_TIME}{time}{_END}"
    return json.dumps(
        message_view(decode_message(row)), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def messages_text(rows: Sequence[StoredMessage]) -> str:
    """Messages as a JSON array; of a whole context that did not change, made once."""
    if not isinstance(rows, SharedContext):
        return _joined(rows)
    text = rows.made.get(_TEXT)
    if text is None:
        text = rows.made[_TEXT] = _joined(rows)
    return text


def _joined(rows: Sequence[StoredMessage]) -> str:
    return "[" + ",".join(map(message_text, rows)) + "]"
