"""Holds an archive's parts to all that holds for threads, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import msgspec

from agentflow.errors import AgentFlowError
from agentflow.storage.checkpointer.limits import MAX_METADATA_BYTES, check_thread_id, metadata_text
from agentflow.storage.checkpointer.sizes import Limits as Sizes
from agentflow_tenancy.exports.archive_reader import ArchiveReader, Place
from agentflow_tenancy.exports.errors import ArchiveError
from agentflow_tenancy.exports.lines import CheckpointLine, MessageLine, ThreadLine, ToolLine, WriteLine

_BLOCKS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(slots=True)
class CheckedPart:
    """What a part holds.

    Attributes:
        threads: Head and next position of its threads, by their public ids, in order.
        size_bytes: What will be kept, as it is counted.
    """

    threads: dict[str, tuple[int, int]] = field(default_factory=dict)
    size_bytes: int = 0


class Checker:
    """Checks the parts of one archive, one after the other."""

    def __init__(self, reader: ArchiveReader, prefix: str, sizes: Sizes) -> None:
        """Nothing is read yet.

        Args:
            prefix: Of the ids as the tenant will store them.
            sizes: That hold for the tenant.
        """
        self._reader = reader
        self._prefix = prefix
        self._sizes = sizes
        self._last = ""

    def check(self, part: Sequence[Place]) -> CheckedPart:
        """Read a part, in the order of parts. Blocks; memory for the part's threads.

        Raises:
            ArchiveError: Something in it is not as an export writes it, or is over a size.
        """
        found = CheckedPart()
        checks: dict[str, Callable[[Place, CheckedPart], None]] = {
            "threads": self._threads,
            "checkpoints": self._checkpoints,
            "messages": self._messages,
            "tools": self._tools,
            "writes": self._writes,
        }
        for place in part:
            try:
                checks[place.kind](place, found)
            except (ValueError, KeyError, RecursionError, AgentFlowError) as error:
                raise ArchiveError(f"{place.listed.name} holds what cannot be stored: {error}.") from error
        return found

    def _threads(self, place: Place, found: CheckedPart) -> None:
        for line in self._reader.lines(place):
            assert isinstance(line, ThreadLine)  # noqa: S101 - the decoder of this kind made it
            if line.thread.encode() <= self._last.encode():
                raise ValueError("threads are not in their order")
            self._last = line.thread
            check_thread_id(self._prefix + line.thread)
            _check_size("state", line.state, self._sizes.max_state_bytes)
            _check_object(line.state)
            if line.next_pos > self._sizes.max_thread_messages:
                raise ValueError(f"a thread has had more than {self._sizes.max_thread_messages} messages")
            _check_metadata(bytes(line.metadata))
            found.threads[line.thread] = (line.head, line.next_pos)

    def _checkpoints(self, place: Place, found: CheckedPart) -> None:
        before: tuple[bytes, int] = (b"", 0)
        for line in self._reader.lines(place):
            assert isinstance(line, CheckpointLine)  # noqa: S101
            head, _ = _thread(found, line.thread)
            before = _following(before, (line.thread.encode(), line.seq))
            if line.seq > head:
                raise ValueError("a checkpoint lies beyond its thread's head")
            _check_size("delta", line.delta, 2 * self._sizes.max_state_bytes + 65536)
            _check_object(line.delta)
            found.size_bytes += _size(line.delta)

    def _messages(self, place: Place, found: CheckedPart) -> None:
        before: tuple[bytes, int, int] = (b"", -1, 0)
        for line in self._reader.lines(place):
            assert isinstance(line, MessageLine)  # noqa: S101
            head, next_pos = _thread(found, line.thread)
            before = _following(before, (line.thread.encode(), line.pos, line.seq))
            if line.pos >= next_pos or max(line.seq, line.removed or 0) > head:
                raise ValueError("a message lies beyond its thread's head")
            if line.removed is not None and line.removed <= line.seq:
                raise ValueError("a message left before it came")
            size = _size(line.content) + (_size(line.extra) if line.extra else 0)
            if size + _size(line.id) > self._sizes.max_message_bytes:
                raise ValueError(f"a message is over {self._sizes.max_message_bytes} bytes")
            if line.kind == 1:
                _check_blocks(line.content)
            if line.extra is not None:
                _check_object(line.extra)
            found.size_bytes += size

    def _tools(self, place: Place, found: CheckedPart) -> None:
        before: tuple[bytes, UUID] = (b"", UUID(int=0))
        for line in self._reader.lines(place):
            assert isinstance(line, ToolLine)  # noqa: S101
            head, _ = _thread(found, line.thread)
            before = _following(before, (line.thread.encode(), line.key))
            if line.seq > head:
                raise ValueError("a tool lies beyond its thread's head")
            if (line.finished_at is None) != (line.result is None):
                raise ValueError("a tool has a result without an end, or an end without a result")
            if line.result is not None:
                _check_size("result", line.result, self._sizes.max_message_bytes)

    def _writes(self, place: Place, found: CheckedPart) -> None:
        before: tuple[bytes, bytes, bytes, int] = (b"", b"", b"", 0)
        for line in self._reader.lines(place):
            assert isinstance(line, WriteLine)  # noqa: S101
            _thread(found, line.thread)
            key = (line.thread.encode(), line.checkpoint.encode(), line.task.encode(), line.idx)
            before = key if key[:3] != before[:3] else _following(before, key)
            _check_size("value", line.value, 4 * self._sizes.max_message_bytes)


def _thread(found: CheckedPart, name: str) -> tuple[int, int]:
    thread = found.threads.get(name)
    if thread is None:
        raise ValueError("a line is of a thread that is not in its part")
    return thread


def _following[K: tuple[Any, ...]](before: K, key: K) -> K:
    if key <= before:
        raise ValueError("lines are not in their order, or there twice")
    return key


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _check_size(name: str, text: str, most: int) -> None:
    if _size(text) > most:
        raise ValueError(f"a {name} is over {most} bytes")


def _check_metadata(text: bytes) -> None:
    if len(text) > MAX_METADATA_BYTES:
        raise ValueError(f"metadata is over {MAX_METADATA_BYTES} bytes")
    metadata = json.loads(text)
    if not isinstance(metadata, dict):
        raise ValueError("metadata is no object")
    metadata_text(metadata)


def _check_blocks(text: str) -> None:
    """Texts of messages are passed on to readers as they are."""
    try:
        _BLOCKS.decode(text)
    except msgspec.DecodeError:
        # Python's own reads what it may have written: numbers that JSON does not know.
        blocks: Any = json.loads(text)
        if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
            raise


def _check_object(text: str) -> None:
    try:
        _OBJECT.decode(text)
    except msgspec.DecodeError:
        if not isinstance(json.loads(text), dict):
            raise
