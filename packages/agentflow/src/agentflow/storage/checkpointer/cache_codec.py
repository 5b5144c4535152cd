"""A cached state's bytes, and back. What does not read as exactly what was written is a miss."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentflow.storage.checkpointer.cache_scripts import FORMAT
from agentflow.storage.checkpointer.cache_types import CachedBase
from agentflow.storage.checkpointer.types import BLOCKS, PLAIN_TEXT, Snapshot, StoredMessage
from agentflow.utils.jsontext import json_text

# What is common to all: the first words of a chunk would else be spelt out in each.
_DICTIONARY: Final = (
    b'"execution_meta":{"current_node":"","step":0,"status":"completed","interrupted_node":null,'
    b'"interrupt_reason":null,"interrupt_data":null,"thread_id":"","stop_current_execution":"none",'
    b'"internal_data":{}}"context_summary":null,"$run":{"next":["'
    b'"tool",0,"","system",0,"","user",0,"","assistant",0,"",null,17'
)
_LEVEL: Final = 6
# A bomb is no entry of ours: nothing larger was ever written.
_MAX_PLAIN_BYTES: Final = 64 * 1024 * 1024
# Chunks shorter than this are written anew, together, once they add up to it: a turn's text alone
# compresses badly.
CHUNK_MESSAGES: Final = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """What the cache held.

    Attributes:
        base: How it is laid out, to be added to later.
    """

    snapshot: Snapshot
    base: CachedBase


@dataclass(frozen=True, slots=True)
class Chunks:
    """What a publish sends of the messages.

    Attributes:
        replaced: How many chunks at the end of the base go.
        bodies: The chunks that come.
        layout: Messages a chunk, of all that are there then.
    """

    replaced: int
    bodies: Sequence[bytes]
    layout: tuple[int, ...]


def chunked(messages: Sequence[StoredMessage], layout: tuple[int, ...]) -> Chunks:
    """What to send when the chunks of `layout` are there: new messages, now and then the last ones again.

    Cost: a constant number of messages a turn, whatever the length of the conversation.
    """
    start = sum(layout)
    kept = len(layout)
    pending = len(messages) - start
    if pending:
        while kept and layout[kept - 1] < CHUNK_MESSAGES:
            kept -= 1
        tail = sum(layout[kept:])
        if tail + pending >= CHUNK_MESSAGES:
            start -= tail
        else:
            kept = len(layout)
    sizes = [
        min(_most_in_a_chunk(messages), len(messages) - at)
        for at in range(start, len(messages), _most_in_a_chunk(messages))
    ]
    bodies = []
    for size in sizes:
        bodies.append(pack([_row(message) for message in messages[start : start + size]]))
        start += size
    return Chunks(len(layout) - kept, bodies, (*layout[:kept], *sizes))


def pack(value: Any) -> bytes:
    """A value as compressed JSON."""
    return pack_text(json_text(value, field="context"))


def pack_text(text: str) -> bytes:
    """JSON text, compressed."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, zdict=_DICTIONARY)
    return compressor.compress(text.encode()) + compressor.flush()


def unpack(body: bytes) -> Any:
    """The value of what `pack` made.

    Raises:
        ValueError: It is something else.
    """
    decompressor = zlib.decompressobj(-15, zdict=_DICTIONARY)
    try:
        text = decompressor.decompress(body, _MAX_PLAIN_BYTES)
    except zlib.error as error:
        raise ValueError("not compressed by us") from error
    if not decompressor.eof:
        raise ValueError("cut off, or far too large")
    return json.loads(text)


def header_of(snapshot: Snapshot) -> str:
    """The version of an entry, and what tells a part of it from all."""
    return f"2 {snapshot.thread_no} {snapshot.head} {snapshot.next_pos} {len(snapshot.messages)}"


def decode_entry(elements: Sequence[bytes]) -> Entry | None:
    """The list's elements as an entry; None for nothing, garbage, another format or a part of one."""
    try:
        kind, *numbers = elements[0].split(b" ")
        thread_no, head, next_pos, count, *_ = map(int, numbers)
        fields = unpack(elements[1])
        chunks = [[_message(row) for row in unpack(body)] for body in elements[2:]]
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError):
        return None
    messages = [message for chunk in chunks for message in chunk]
    if kind != FORMAT or count != len(messages) or head < 1 or not isinstance(fields, dict):
        return None
    snapshot = Snapshot(thread_no, head, next_pos, fields, messages)
    return Entry(snapshot, CachedBase(head, tuple(len(chunk) for chunk in chunks)))


def _most_in_a_chunk(messages: Sequence[StoredMessage]) -> int:
    """A script moves at most some thousands of elements."""
    return max(2 * CHUNK_MESSAGES, len(messages) // 2000)


def _row(message: StoredMessage) -> list[Any]:
    return [
        message.pos,
        message.message_id,
        message.role,
        message.content_kind,
        message.content,
        message.extra,
        message.sent_at,
    ]


def _message(values: Any) -> StoredMessage:
    kinds = (int, str, str, int, str, str | None, float | None)
    if not all(isinstance(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise ValueError("not a message")
    if values[3] not in (PLAIN_TEXT, BLOCKS):
        raise ValueError("not a kind of content")
    return StoredMessage(*values)
