"""What may be stored at all: checked before anything leaves the process."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentflow.errors import (
    InvalidIdError,
    InvalidInputError,
    StateEncodingError,
    ThreadFullError,
    TooLargeError,
)
from agentflow.storage.checkpointer.sizes import MESSAGE_BYTES, METADATA_BYTES, STATE_BYTES, Limits
from agentflow.storage.checkpointer.types import (
    CheckpointWrite,
    NewThread,
    StoredMessage,
    ToolResult,
    next_pos,
)
from agentflow.utils.jsontext import dumped_text, json_text, size_bytes, unencodable

MAX_ID_BYTES = 512
MAX_METADATA_BYTES = 64 * 1024

# An odd number of backslashes: the character, not text that shows its escape.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class EncodedWrite:
    """The JSON texts of a write: what changed, and all of it; `size_bytes` with its messages."""

    patch: str
    fields: str
    size_bytes: int


def encode_write(write: CheckpointWrite, limits: Limits) -> EncodedWrite:
    """Encode a write and hold it to the limits.

    Raises:
        StateEncodingError: It is not data.
        InvalidIdError: An id or name holds what cannot be stored.
        TooLargeError: The fields or a message are over their limit.
        ThreadFullError: The thread has had as many messages as it may.
    """
    total_bytes = 0
    for message in write.added:
        total_bytes += _checked_message(message, limits)
    had = next_pos(0, write.added)
    if had > limits.max_thread_messages:
        raise ThreadFullError(limit=limits.max_thread_messages, messages=had)
    if write.tool_results:
        total_bytes += check_tool_results(write.tool_results, limits)
    check_texts("checkpoint", (write.node, write.run_id))
    fields = _fields_text(write.fields)
    patch = dumped_text(write.patch, field="state")
    fields_bytes = size_bytes(fields)
    if fields_bytes > limits.max_state_bytes:
        raise TooLargeError(
            "The state", limit=STATE_BYTES, size_bytes=fields_bytes, limit_bytes=limits.max_state_bytes
        )
    return EncodedWrite(patch, fields, total_bytes + fields_bytes + len(patch))


def _fields_text(fields: Mapping[str, Any]) -> str:
    try:
        return dumped_text(fields, field="state")
    except StateEncodingError:
        for name, value in fields.items():
            json_text(value, field=name)  # says which one it is
        raise


def check_tool_results(results: Iterable[ToolResult], limits: Limits) -> int:
    """Their size in bytes.

    Raises:
        TooLargeError: A result is over the limit of a message, which will hold it.
    """
    total_bytes = 0
    for result in results:
        result_bytes = size_bytes(result.result)
        if result_bytes > limits.max_message_bytes:
            raise TooLargeError(
                "A tool's result",
                limit=MESSAGE_BYTES,
                size_bytes=result_bytes,
                limit_bytes=limits.max_message_bytes,
            )
        total_bytes += result_bytes
    return total_bytes


def check_thread_id(thread_id: str) -> None:
    """Refuse an id that cannot be stored byte for byte.

    Raises:
        InvalidIdError: Blank, over 512 bytes, or with a NUL or half a surrogate pair in it.
    """
    if not thread_id.strip():
        raise InvalidIdError("A thread id cannot be blank.")
    check_texts("thread", (thread_id,))
    if len(thread_id.encode()) > MAX_ID_BYTES:
        raise InvalidIdError(f"A thread id has at most {MAX_ID_BYTES} bytes.")


def check_keep_last(keep_last: int) -> None:
    """Refuse to keep nothing: the head always stays.

    Raises:
        InvalidInputError: Not a whole number of at least 1.
    """
    if isinstance(keep_last, bool) or keep_last < 1:
        raise InvalidInputError("keep_last must be a whole number of at least 1.")


def check_page(offset: int, limit: int | None) -> None:
    """Refuse a page that is none.

    Raises:
        InvalidInputError: Below 0, or beyond what is counted in 8 bytes.
    """
    for name, value in (("offset", offset), ("limit", limit)):
        if value is not None and not 0 <= value < 2**63:
            raise InvalidInputError(f"{name} must be a whole number from 0 on, not {value}.")


def check_messages_page(skip: int, limit: int, max_bytes: int) -> None:
    """Refuse a page that cannot go on.

    Raises:
        InvalidInputError: It has no room for a message.
    """
    check_page(skip, limit)
    if limit < 1 or not 0 <= max_bytes < 2**31:
        raise InvalidInputError("A page of messages has room for one at least.")


def check_new_thread(thread: NewThread) -> None:
    """Refuse attributes that cannot be stored.

    Raises:
        InvalidIdError, StateEncodingError, TooLargeError.
    """
    check_texts("thread", (thread.user_id or "", thread.name or ""))
    text = metadata_text(thread.metadata)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise metadata_too_large(len(text.encode()))


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """Metadata as JSON text.

    Raises:
        StateEncodingError: It is not data, or holds a NUL.
    """
    text = json_text(metadata, field="metadata")
    if _ESCAPED_NUL.search(text):
        raise StateEncodingError(
            "The thread's metadata holds a NUL character, which cannot be stored.", field="metadata"
        )
    return text


def metadata_too_large(size_bytes: int) -> TooLargeError:
    """For metadata over its limit."""
    return TooLargeError(
        "The thread's metadata", limit=METADATA_BYTES, size_bytes=size_bytes, limit_bytes=MAX_METADATA_BYTES
    )


def _checked_message(message: StoredMessage, limits: Limits) -> int:
    """Its size in bytes, if it can be stored."""
    check_texts("message", (message.message_id, message.role))
    if "\0" in message.content or (message.extra and "\0" in message.extra):
        raise StateEncodingError(
            f"Message {message.message_id!r} holds a raw NUL character; as JSON it could be stored.",
            field="context",
        )
    if message.sent_at is not None and not math.isfinite(message.sent_at):
        raise StateEncodingError(
            f"Message {message.message_id!r} has the time {message.sent_at}, which is none.", field="context"
        )
    try:
        message_bytes = message.size_bytes()
    except UnicodeEncodeError as error:
        raise unencodable("context", error) from error
    if message_bytes > limits.max_message_bytes:
        raise TooLargeError(
            f"Message {message.message_id!r}",
            limit=MESSAGE_BYTES,
            size_bytes=message_bytes,
            limit_bytes=limits.max_message_bytes,
        )
    return message_bytes


def check_texts(what: str, texts: Iterable[str]) -> None:
    """Refuse text that Postgres cannot hold.

    Raises:
        InvalidIdError: A NUL, or half a surrogate pair.
    """
    for text in texts:
        if "\0" in text:
            raise InvalidIdError(f"An id or name of a {what} holds a NUL character, which cannot be stored.")
        if text.isascii():
            continue
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidIdError(f"An id or name of a {what} holds half a surrogate pair.") from error
