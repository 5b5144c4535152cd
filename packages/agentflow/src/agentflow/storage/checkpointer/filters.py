"""Which threads are meant: conditions, orders and pages, and what they say of a thread in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from agentflow.errors import InvalidInputError
from agentflow.storage.checkpointer.limits import check_page, check_texts, check_thread_id, metadata_text
from agentflow.storage.checkpointer.run_status import ThreadStatus
from agentflow.storage.checkpointer.types import PLAIN_TEXT, NewThread, StoredMessage, ThreadInfo

ThreadSort = Literal["-updated_at", "updated_at", "-created_at", "created_at", "thread_id"]
SORTS: Final[tuple[ThreadSort, ...]] = get_args(ThreadSort)
_STATUSES: Final[tuple[ThreadStatus, ...]] = get_args(ThreadStatus)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Attributes of a block that hold what somebody said; all others name or describe it.
_SAID: Final = ("text", "output", "summary")


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """Conditions that a thread must all meet; None is any.

    Attributes:
        ids: Its id is one of them.
        metadata: Contained in its own: each key with its value, dicts and lists inside likewise.
        user_id: Whose it is.
        text: A case-insensitive part of what a message of its context says; no pattern.
        name: A case-insensitive part of its name; no pattern.
        updated_after: Last changed then or later; and so on, `before` being earlier than that.
        status: How its latest run stands; see `RunStatus`.
    """

    ids: Sequence[str] | None = None
    metadata: Mapping[str, Any] | None = None
    user_id: str | None = None
    text: str | None = None
    name: str | None = None
    updated_before: datetime | None = None
    updated_after: datetime | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    status: ThreadStatus | None = None

    @property
    def is_any(self) -> bool:
        """Whether it lets every thread pass."""
        return not self.metadata and all(
            getattr(self, name) is None for name in self.__slots__ if name != "metadata"
        )


@dataclass(frozen=True, slots=True)
class ThreadPlace:
    """A thread's place in an order, to go on behind it.

    Attributes:
        key: What `sort_key` gives.
    """

    key: int
    thread_id: str


@dataclass(frozen=True, slots=True)
class ThreadChange:
    """What to change of a thread's attributes.

    Attributes:
        sets_name: Whether `name` is to be set; None takes it away.
        metadata: Keys to set; those whose value is None are taken away. None leaves all as they are.
        sets_expiry: Whether `expires_at` is to be set; None has it never expire.
    """

    sets_name: bool = False
    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    sets_expiry: bool = False
    expires_at: datetime | None = None

    @property
    def set_keys(self) -> dict[str, Any]:
        """Keys to set, with their values."""
        return {key: value for key, value in (self.metadata or {}).items() if value is not None}

    @property
    def removed_keys(self) -> list[str]:
        """Keys to take away."""
        return [key for key, value in (self.metadata or {}).items() if value is None]


@dataclass(frozen=True, slots=True)
class CopiedThread:
    """A copy that was made.

    Attributes:
        head: Its version, that of the thread copied.
        size_bytes: What its messages and checkpoints take; 0 where nobody counts.
    """

    head: int
    size_bytes: int = field(default=0, compare=False)


def sort_key(sort: ThreadSort, created_at: datetime, updated_at: datetime) -> int:
    """Where a thread stands in an order, before its id: microseconds, below zero for the latest first."""
    if sort == "thread_id":
        return 0
    time = updated_at if sort.endswith("updated_at") else created_at
    micros = (time - _EPOCH) // (datetime.resolution)
    return -micros if sort.startswith("-") else micros


def check_filter(wanted: ThreadFilter) -> None:
    """Refuse conditions that no store can be asked.

    Raises:
        InvalidError: A NUL or half a surrogate pair, metadata that is no data, a time without its zone, an
            unknown status.
    """
    for thread_id in wanted.ids or ():
        check_thread_id(thread_id)
    check_texts("filter", [text for text in (wanted.user_id, wanted.text, wanted.name) if text is not None])
    metadata_text(wanted.metadata or {})
    for name in ("updated_before", "updated_after", "created_before", "created_after"):
        _check_time(name, getattr(wanted, name))
    if wanted.status is not None and wanted.status not in _STATUSES:
        raise InvalidInputError(f"status must be one of {', '.join(_STATUSES)}.")


def check_search(wanted: ThreadFilter, sort: ThreadSort, after: ThreadPlace | None, limit: int) -> None:
    """Refuse a search that is none.

    Raises:
        InvalidError: See `check_filter`; an order that there is not, a place or limit out of range.
    """
    check_filter(wanted)
    check_page(0, limit)
    if sort not in SORTS:
        raise InvalidInputError(f"sort must be one of {', '.join(SORTS)}.")
    if after is not None:
        check_texts("place", [after.thread_id])
        if not -(2**63) <= after.key < 2**63:
            raise InvalidInputError("The place to go on behind is none.")


def check_deletion(wanted: ThreadFilter, limit: int) -> None:
    """Refuse to delete whatever there is.

    Raises:
        InvalidError: See `check_filter`; no condition, or a limit that is none.
    """
    check_filter(wanted)
    check_page(0, limit)
    if wanted.is_any:
        raise InvalidInputError("Deleting threads needs at least one condition, or their ids.")


def check_change(change: ThreadChange) -> None:
    """Refuse attributes that cannot be stored.

    Raises:
        InvalidError.
    """
    check_texts("thread", [change.name or "", *change.removed_keys])
    metadata_text(change.set_keys)
    _check_time("expires_at", change.expires_at)


def changed(attributes: NewThread, metadata: Mapping[str, Any], change: ThreadChange) -> NewThread:
    """A thread's attributes after a change."""
    kept = {key: value for key, value in metadata.items() if key not in change.removed_keys}
    return NewThread(
        attributes.user_id,
        change.name if change.sets_name else attributes.name,
        {**kept, **change.set_keys},
    )


def matches(wanted: ThreadFilter, info: ThreadInfo, messages: Sequence[StoredMessage]) -> bool:
    """Whether a thread with this context meets every condition."""
    return (
        (wanted.ids is None or info.thread_id in wanted.ids)
        and contains(info.metadata, wanted.metadata or {})
        and (wanted.user_id is None or info.user_id == wanted.user_id)
        and (wanted.name is None or (info.name is not None and wanted.name.lower() in info.name.lower()))
        and _is_between(info.updated_at, wanted.updated_after, wanted.updated_before)
        and _is_between(info.created_at, wanted.created_after, wanted.created_before)
        and (wanted.status is None or info.status == wanted.status)
        and (wanted.text is None or any(says(message, wanted.text) for message in messages))
    )


def contains(held: Any, wanted: Any) -> bool:
    """Whether data holds other data, as jsonb's `@>` has it for objects."""
    if isinstance(wanted, Mapping):
        return isinstance(held, Mapping) and all(
            key in held and contains(held[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(held, list) and all(any(contains(one, item) for one in held) for item in wanted)
    if isinstance(held, bool) or isinstance(wanted, bool):
        return held is wanted
    return bool(held == wanted)


def says(message: StoredMessage, text: str) -> bool:
    """Whether a message holds a text, whatever the case."""
    if message.content_kind == PLAIN_TEXT:
        return text.lower() in message.content.lower()
    return any(text.lower() in said.lower() for said in _said(json.loads(message.content)))


def as_json_writes(text: str) -> str:
    """A text as it stands inside of JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _said(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _said(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _SAID and isinstance(item, str):
                yield item
            else:
                yield from _said(item)


def _check_time(name: str, time: datetime | None) -> None:
    if time is None:
        return
    try:
        if time.tzinfo is None:
            raise ValueError
        time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(f"{name} must be a time with its zone.") from error


def _is_between(time: datetime, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or time >= after) and (before is None or time < before)
