"""Threads a process has used lately: never believed without asking whether the version is the latest."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from agentflow.storage.checkpointer.cache_types import CachedBase
from agentflow.storage.checkpointer.types import Scope, Snapshot, StoredMessage

ThreadKey = tuple[UUID, int, int, str]

# What an entry and each of its messages take beside their text, which may be there once more in what was
# made of it.
_ENTRY_BYTES: Final = 1000
_MESSAGE_BYTES: Final = 550


class SharedContext(tuple[StoredMessage, ...]):  # noqa: SLOT001 - a tuple with an attribute can have no slots
    """A whole context as many readers get it.

    Attributes:
        made: What readers made of all of it, by their own name for that, to be used again: it lives as long
            as the context is the thread's latest and remembered. About as large as the texts, no more.
    """

    made: dict[str, str]

    def __new__(cls, messages: Sequence[StoredMessage] = ()) -> Self:
        """Of these messages; nothing is made of them yet."""
        context = super().__new__(cls, messages)
        context.made = {}
        return context


def key_of(scope: Scope, thread_id: str) -> ThreadKey:
    """A thread's key: with its tenant's epoch, which makes every older entry void."""
    return (scope.tenant_id, scope.placement, scope.epoch, thread_id)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A thread at one version.

    Attributes:
        fields: As JSON text: what is done to a snapshot's fields reaches nobody else.
        messages: Shared with whoever reads them; nobody changes a message.
        base: How Redis holds this version, if it is known to.
    """

    thread_no: int
    head: int
    next_pos: int
    fields: str
    messages: SharedContext
    base: CachedBase | None
    size_bytes: int

    @property
    def version(self) -> tuple[int, int]:
        """Life and head."""
        return (self.thread_no, self.head)

    def snapshot(self) -> Snapshot:
        """A snapshot of one's own. Cost: decodes the fields, not the messages."""
        return Snapshot(
            self.thread_no, self.head, self.next_pos, json.loads(self.fields), list(self.messages)
        )


class ThreadMemory:
    """The threads used last, up to a number of bytes. Safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        """Empty. With 0 bytes it stays so."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[ThreadKey, Remembered] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, key: ThreadKey) -> Remembered | None:
        """What is remembered, if anything is."""
        with self._mutex:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: ThreadKey, snapshot: Snapshot, fields: str, base: CachedBase | None = None) -> None:
        """Remember a version, unless a newer one of the same life is."""
        if not self._max_bytes:
            return
        texts = sum(len(message.content) + len(message.extra or "") for message in snapshot.messages)
        size_bytes = _ENTRY_BYTES + len(fields) + 2 * texts + _MESSAGE_BYTES * len(snapshot.messages)
        entry = Remembered(
            snapshot.thread_no,
            snapshot.head,
            snapshot.next_pos,
            fields,
            SharedContext(snapshot.messages),
            base,
            size_bytes,
        )
        with self._mutex:
            old = self._entries.get(key)
            if old is not None and old.thread_no == entry.thread_no and old.head > entry.head:
                return
            self._remove(key)
            if size_bytes <= self._max_bytes:
                self._entries[key] = entry
                self._bytes += size_bytes
            while self._bytes > self._max_bytes:
                self._remove(next(iter(self._entries)))

    def drop(self, key: ThreadKey) -> None:
        """Forget a thread."""
        with self._mutex:
            self._remove(key)

    def clear(self) -> None:
        """Forget all of them."""
        with self._mutex:
            self._entries.clear()
            self._bytes = 0

    def _remove(self, key: ThreadKey) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= old.size_bytes
