"""The lines of an archive: what each kind holds, read with every value checked."""

from __future__ import annotations

from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from agentflow.storage.checkpointer.archive import PackedCheckpoint

# No line is longer: the largest message or state, with each character escaped, fits.
MOST_LINE_BYTES: Final = 16 * 1024 * 1024
MOST_INT: Final = 2**31 - 1

type Id = Annotated[str, Meta(min_length=1, max_length=512)]
# Parts of keys and indexes, which hold no text of any length.
type Name = Annotated[str, Meta(max_length=512)]
type Key = Annotated[str, Meta(max_length=255)]
type Count = Annotated[int, Meta(ge=0, le=MOST_INT)]
type Version = Annotated[int, Meta(ge=1, le=MOST_INT)]
type Time = Annotated[datetime, Meta(tz=True)]
type Role = Literal["user", "assistant", "system", "tool"]


class ThreadLine(Struct, forbid_unknown_fields=True, frozen=True):
    """A thread: its head, and its state there."""

    thread: Id
    head: Version
    next_pos: Count
    user: Name | None
    name: str | None
    run: str
    created_at: Time
    updated_at: Time
    expires_at: Time | None
    metadata: msgspec.Raw
    state: str


class CheckpointLine(Struct, forbid_unknown_fields=True, frozen=True):
    """A version of a thread: what its step changed, or with `full` all fields."""

    thread: Id
    seq: Version
    created_at: Time
    step: Annotated[int, Meta(ge=-MOST_INT, le=MOST_INT)]
    full: bool
    id: UUID
    source: Annotated[str, Meta(pattern="^[a-z_]{1,32}$")]
    node: Name
    run: str
    delta: str


class MessageLine(Struct, forbid_unknown_fields=True, frozen=True):
    """A message: joined the context at version `seq`, and left it at `removed`."""

    thread: Id
    pos: Count
    seq: Version
    removed: Version | None
    created_at: Time
    sent_at: float | None
    kind: Literal[0, 1]
    id: str
    role: Role
    content: str
    extra: str | None


class ToolLine(Struct, forbid_unknown_fields=True, frozen=True):
    """A tool that a thread started, and what it answered."""

    thread: Id
    key: UUID
    seq: Count
    idx: Count
    attempt: Version
    started_at: Time
    finished_at: Time | None
    started_by: UUID
    call_id: str
    name: str
    node: str
    run: str
    result: str | None


class WriteLine(Struct, forbid_unknown_fields=True, frozen=True):
    """What a LangGraph task wrote before its step was done; `value` is hexadecimal."""

    thread: Id
    checkpoint: Key
    task: Key
    idx: Annotated[int, Meta(ge=-MOST_INT, le=MOST_INT)]
    path: str
    channel: str
    kind: str
    value: Annotated[str, Meta(pattern="^([0-9a-f]{2})*$")]


type Line = ThreadLine | CheckpointLine | MessageLine | ToolLine | WriteLine

DECODERS: Final[dict[str, msgspec.json.Decoder[Line]]] = {
    "threads": msgspec.json.Decoder(ThreadLine),
    "checkpoints": msgspec.json.Decoder(CheckpointLine),
    "messages": msgspec.json.Decoder(MessageLine),
    "tools": msgspec.json.Decoder(ToolLine),
    "writes": msgspec.json.Decoder(WriteLine),
}


def checkpoint_text(thread: str, row: PackedCheckpoint) -> str:
    """A checkpoint's line, byte for byte as the database writes those that are not packed."""
    return (
        f'{{"thread":{encode_basestring(thread)},"seq":{row.seq},"created_at":"{_time(row.created_at)}",'
        f'"step":{row.step},"full":{"true" if row.is_full else "false"},"id":"{row.checkpoint_id}",'
        f'"source":{encode_basestring(row.source)},"node":{encode_basestring(row.node)},'
        f'"run":{encode_basestring(row.run_id)},"delta":{encode_basestring(row.delta)}}}\n'
    )


def check_no_nul(line: Line) -> None:
    """Refuse a line with a NUL in a text, which no column holds.

    Raises:
        ValueError: There is one.
    """
    for name in line.__struct_fields__:
        value = getattr(line, name)
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"{name} holds a NUL character")


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
