"""A group of checkpoints as the arguments of `append_group`.

The driver encodes an array element by element, and looks at each element twice: with a score of columns
that was a third of what a checkpoint cost the client. So texts travel joined, in one piece a column, and what
is the same for all, or there for none, is sent once or not at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

from agentflow.storage.checkpointer.driver_tenants import shown
from agentflow.storage.checkpointer.limits import EncodedWrite
from agentflow.storage.checkpointer.types import (
    PLAIN_TEXT,
    CheckpointWrite,
    NewThread,
    Scope,
    next_pos,
)
from agentflow.utils.jsontext import json_text

# JSON escapes it, and hardly any other text holds it.
_SEPARATOR: Final = "\x1f"
_NOT_NEW: Final = NewThread()


class GroupedWrite(Protocol):
    """What a write of a group must tell; see `postgres_writer.QueuedWrite`."""

    scope: Scope
    thread_id: str
    attributes: NewThread
    write: CheckpointWrite
    encoded: EncodedWrite
    placement: int
    key: tuple[int, int, str]

    @property
    def owner(self) -> str | None:
        """Whom the thread must belong to, or will."""
        ...

    @property
    def delta(self) -> str | None:
        """What the checkpoint stores; None for all fields."""
        ...


def group_arguments(items: Sequence[GroupedWrite], thread_ttl: timedelta | None) -> list[Any]:
    """What `append_group` takes for these writes.

    Args:
        items: Two or more, of different threads, that take nothing out of the context.
        thread_ttl: Set anew by each write; None leaves a thread's time as it is.
    """
    writes = [item.write for item in items]
    tenants = {item.key[1]: item.scope for item in items}
    new = [_NOT_NEW if item.write.expected_head else item.attributes for item in items]
    messages = [message for write in writes for message in write.added]
    separator, texts = joined(
        [item.thread_id for item in items],
        [write.run_id for write in writes],
        [write.source for write in writes],
        [write.stored_node for write in writes],
        [item.encoded.fields for item in items],
        [item.delta or "" for item in items],
        [message.message_id for message in messages],
        [message.role for message in messages],
        [message.content for message in messages],
        [message.extra or "" for message in messages],
    )
    return [
        shown([*tenants.values()]),
        _once([item.placement for item in items]),
        [item.scope.tenant_id for item in (items[:1] if len(tenants) == 1 else items)],
        thread_ttl,
        separator,
        *texts,
        [write.thread_no for write in writes],
        [write.expected_head for write in writes],
        [next_pos(0, write.added) for write in writes],
        [write.step for write in writes],
        [write.checkpoint_id for write in writes],
        [place for place, write in enumerate(writes, 1) if write.starts_run],
        _unless_all(None, [item.owner for item in items]),
        _unless_all(None, [thread.name for thread in new]),
        _unless_all(None, [metadata_of(thread) if thread.metadata else None for thread in new]),
        [place for place, write in enumerate(writes, 1) for _ in write.added],
        [message.pos for message in messages],
        _unless_all(PLAIN_TEXT, [message.content_kind for message in messages]),
        [message.sent_at for message in messages],
    ]


def metadata_of(thread: NewThread) -> str:
    """A new thread's metadata as JSON text."""
    return json_text(thread.metadata, field="metadata") if thread.metadata else "{}"


def joined(*columns: Sequence[str]) -> tuple[str, list[str]]:
    """A separator that no text holds, and each column's texts with it between them."""
    separator = _SEPARATOR
    texts = [separator.join(column) for column in columns]
    while not all(map(_comes_apart, columns, texts, [separator] * len(texts))):
        # A text that holds the usual one: then a word that was never seen before.
        separator = _SEPARATOR + uuid.uuid4().hex
        texts = [separator.join(column) for column in columns]
    return separator, texts


def _comes_apart(column: Sequence[str], text: str, separator: str) -> bool:
    """Whether a column's texts are found between its separators again."""
    if len(separator) == 1:
        return text.count(separator) == max(0, len(column) - 1)
    return not column or text.split(separator) == list(column)


def _once[T](values: list[T]) -> list[T]:
    """One value in place of many that are equal."""
    return values[:1] if values.count(values[0]) == len(values) else values


def _unless_all[T](usual: T, values: list[T]) -> list[T]:
    """Nothing in place of values that are all the usual one."""
    return [] if values.count(usual) == len(values) else values
