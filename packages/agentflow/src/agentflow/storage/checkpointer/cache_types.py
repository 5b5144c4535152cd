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

    def all(self) -> list[str]:
        """In the order in which the scripts take them."""
        return [self.lock, self.state]


@dataclass(frozen=True, slots=True)
class CachedBase:
    """How a cached version is laid out, so that a session which started from it sends only what came after.

    Attributes:
        chunks: Messages a chunk.
    """

    head: int
    chunks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Began:
    """Answer to `begin`.

    Attributes:
        taken: Whether the lock is ours now.
        is_known: The cached version is the one the caller has.
        snapshot: Else the cached state, if there is a readable one and the lock is ours.
        base: How that is laid out.
        held_for_s: Without the lock, when the other's ends if it is never heard of again.
        is_degraded: Redis is away: whether the lock is ours is not known.
    """

    taken: bool
    is_known: bool = False
    snapshot: Snapshot | None = None
    base: CachedBase | None = None
    held_for_s: float = 0.0
    is_degraded: bool = False


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
