"""What the cache answers, apart from its driver."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.storage.checkpointer.types import Snapshot


class CacheUnavailableError(Exception):
    """Redis did not answer, now or a moment ago. Never leaves the checkpointer.

    Attributes:
        sent: The command may have reached Redis, which may still carry it out.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Keys:
    """A thread's keys; they share a hash tag and so a shard."""

    lock: str
    state: str
    messages: str

    def all(self) -> list[str]:
        """In the order in which the scripts take them."""
        return [self.lock, self.state, self.messages]


@dataclass(frozen=True, slots=True)
class Began:
    """Answer to `begin`.

    Attributes:
        taken: Whether the lock is ours now.
        snapshot: The cached state, if there is a readable one and the lock is ours.
        held_for_s: Else, when the other's lock ends if it is never heard of again.
    """

    taken: bool
    snapshot: Snapshot | None = None
    held_for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CachedBase:
    """The cached version that a session started from, so that it need send only what came after."""

    head: int
    messages: int


@dataclass(frozen=True, slots=True)
class News:
    """What a session leaves for the next one.

    Attributes:
        fields: The snapshot's fields, encoded.
        base: When the session only added messages to what was cached: that version.
    """

    snapshot: Snapshot
    fields: str
    base: CachedBase | None = None
