"""How long threads are kept, and what that comes to."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final

_NOWHERE: Final = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class ThreadKey:
    """A thread of any tenant, in the order of the placement's key."""

    tenant_id: uuid.UUID
    thread_id: str


BEFORE_ALL: Final = ThreadKey(_NOWHERE, "")


@dataclass(frozen=True, slots=True)
class DuePage:
    """Threads whose time is over, of some that stand side by side.

    Attributes:
        last: The last one looked at, due or not; None when there were none left.
    """

    due: Sequence[ThreadKey]
    last: ThreadKey | None


@dataclass(frozen=True, slots=True)
class LongThread:
    """A thread with more versions than its tenant keeps."""

    key: ThreadKey
    keep_last: int


@dataclass(frozen=True, slots=True)
class LongPage:
    """Threads with versions to forget; `last` as in `DuePage`."""

    threads: Sequence[LongThread]
    last: ThreadKey | None


@dataclass(frozen=True, slots=True)
class Swept:
    """What went.

    Attributes:
        threads: With all below them.
        versions: Those that the threads had come to: their checkpoints, packed ones and forgotten ones too.
        took_s: How long the server worked for it.
        rest_s: How long it is to rest now.
    """

    threads: int = 0
    versions: int = 0
    took_s: float = field(default=0.0, compare=False)
    rest_s: float = field(default=0.0, compare=False)

    def __add__(self, other: Swept) -> Swept:
        """Both together."""
        return Swept(self.threads + other.threads, self.versions + other.versions, self.took_s + other.took_s)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What retention would delete of a tenant now; nothing is deleted by asking.

    Attributes:
        threads: All that the tenant has.
        due: Those whose time is over: the sum of the four below.
        expired: That would go, past their own time.
        unchanged: That would go, having been left alone for too long.
        kept_running: That stay, since a run waits for them or works.
        kept_waiting: That stay, since they wait for an answer.
        checkpoints, messages, size_bytes: Of the threads that would go; bytes of text, not of disk.
        old_versions: Checkpoints that would be forgotten of threads that stay.
    """

    threads: int = 0
    due: int = 0
    expired: int = 0
    unchanged: int = 0
    kept_running: int = 0
    kept_waiting: int = 0
    checkpoints: int = 0
    messages: int = 0
    size_bytes: int = 0
    old_versions: int = 0

    def __add__(self, other: Weighed) -> Weighed:
        """Both together."""
        return Weighed(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))
