"""What a thread must look like, in plain lists: the model that a store is compared with."""

from dataclasses import dataclass, field
from typing import Any

from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import CheckpointWrite, Committed, Snapshot, StoredMessage

# What a write does: its kind, a place in the context or of a field, and a value.
Change = tuple[str, int, Any]


@dataclass
class Version:
    """A thread after one checkpoint."""

    write: CheckpointWrite
    fields: dict[str, Any]
    messages: list[StoredMessage]


@dataclass
class ThreadModel:
    """One thread: its versions, in this life."""

    thread_no: int | None = None
    versions: list[Version] = field(default_factory=list)
    next_pos: int = 0
    stopping: bool = False

    @property
    def head(self) -> int:
        return len(self.versions)

    def latest(self) -> Snapshot | None:
        """As `load` must give it."""
        if self.thread_no is None:
            return None
        last = self.versions[-1]
        return Snapshot(self.thread_no, self.head, self.next_pos, last.fields, last.messages)

    def at(self, head: int) -> Snapshot | None:
        """What somebody knows who read the thread at that version; None for one before the first."""
        if not head or self.thread_no is None:
            return None
        then = self.versions[head - 1]
        return Snapshot(self.thread_no, head, self.next_pos, then.fields, then.messages)

    def write(self, before: Snapshot | None, change: Change, **other: Any) -> CheckpointWrite:
        """The change, from what somebody knows."""
        kind, place, value = change
        fields = dict(before.fields) if before is not None else {}
        messages = list(before.messages) if before is not None else []
        added: list[StoredMessage] = []
        removed: list[int] = []
        if kind == "add":
            first = before.next_pos if before is not None else 0
            added = [message(first + i, str(value)) for i in range(1 + place % 3)]
        elif kind == "edit" and messages:
            edited = messages[place % len(messages)]
            removed = [edited.pos]
            added = [message(edited.pos, f"edited {value}", message_id=edited.message_id)]
        elif kind == "remove" and messages:
            removed = [messages[place % len(messages)].pos]
        elif kind == "unset":
            fields.pop(f"f{place % 3}", None)
        elif kind == "set":
            fields[f"f{place % 3}"] = value
        return write_after(before, fields, added=added, removed=removed, **other)

    def apply(self, write: CheckpointWrite, committed: Committed) -> None:
        """The store said that it has this write; it must be right."""
        assert committed.head == self.head + 1 == write.expected_head + 1
        assert self.thread_no in (None, committed.thread_no)
        self.stopping = self.stopping and not write.starts_run
        assert committed.stop_requested == self.stopping
        self.thread_no = committed.thread_no
        kept = self.versions[-1].messages if self.versions else []
        kept = [row for row in kept if row.pos not in write.removed]
        messages = sorted([*kept, *write.added], key=lambda row: row.pos)
        self.versions.append(Version(write, write.fields, messages))
        self.next_pos = max([self.next_pos, *(row.pos + 1 for row in write.added)])

    def delete(self) -> None:
        """The next write begins another life."""
        self.__init__()  # type: ignore[misc]
