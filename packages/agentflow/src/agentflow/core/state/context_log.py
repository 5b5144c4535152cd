"""Which rows join and leave the log when a context changes.

The log is a list of messages with positions; the context is the messages alive, by position.
Appending costs one row a message. An edited message takes the place of the one before, so
history keeps both. Only an insertion into a gap that is too small moves what stands behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Held(Protocol):
    """What a log holds: compared by identity, then by value."""

    @property
    def message_id(self) -> str:
        """Names the message; need not be unique."""
        ...


type Entry[M: Held] = tuple[int, M]


@dataclass(frozen=True, slots=True)
class ContextChange[M: Held]:
    """What one step does to the log.

    Attributes:
        added: Messages that join, with their positions, ascending.
        removed: Positions that leave; one may come back in `added` with another message.
        entries: The whole context after the change.
        next_pos: First position never used.
    """

    added: list[Entry[M]]
    removed: list[int]
    entries: list[Entry[M]]
    next_pos: int


def change_context[M: Held](
    entries: Sequence[Entry[M]], next_pos: int, context: Sequence[M]
) -> ContextChange[M]:
    """How the log becomes `context`.

    Args:
        entries: The context before, with positions, ascending.
        next_pos: First position never used.
        context: The messages after.

    Cost: O(context) comparisons of identity; messages are compared by value only where they differ.
    """
    same = _common_prefix(entries, context)
    if same == len(entries):
        added = [(next_pos + i, message) for i, message in enumerate(context[same:])]
        return ContextChange(added, [], [*entries, *added], next_pos + len(added))
    tail, next_pos = _rearrange(
        entries[same:], context[same:], entries[same - 1][0] if same else -1, next_pos
    )
    before = dict(entries[same:])
    after = dict(tail)
    return ContextChange(
        added=[(pos, message) for pos, message in tail if before.get(pos) is not message],
        removed=[pos for pos, message in before.items() if after.get(pos) is not message],
        entries=[*entries[:same], *tail],
        next_pos=next_pos,
    )


def _common_prefix[M: Held](entries: Sequence[Entry[M]], context: Sequence[M]) -> int:
    for i, ((_, old), new) in enumerate(zip(entries, context, strict=False)):
        if old is not new and old != new:
            return i
    return min(len(entries), len(context))


def _rearrange[M: Held](
    old: Sequence[Entry[M]], new: Sequence[M], floor: int, next_pos: int
) -> tuple[list[Entry[M]], int]:
    """Positions for `new`, keeping those of messages that stay in order."""
    kept = _kept(old, new)
    ceilings = _ceilings(len(new), kept, old)
    result: list[Entry[M]] = []
    last = floor
    for i, message in enumerate(new):
        if i in kept and old[kept[i]][0] > last:
            entry = old[kept[i]]
        else:
            entry = (_free_position(last, ceilings[i], next_pos), message)
            next_pos = max(next_pos, entry[0] + 1)
        last = entry[0]
        result.append(entry)
    return result, next_pos


def _kept[M: Held](old: Sequence[Entry[M]], new: Sequence[M]) -> dict[int, int]:
    """Index in `new` -> index in `old` of messages that stay, both ascending."""
    places: dict[str, list[int]] = {}
    for j in range(len(old) - 1, -1, -1):
        places.setdefault(old[j][1].message_id, []).append(j)
    kept: dict[int, int] = {}
    at = -1
    for i, message in enumerate(new):
        candidates = places.get(message.message_id, [])
        while candidates and candidates[-1] <= at:
            candidates.pop()
        if candidates and _equal(old[candidates[-1]][1], message):
            at = kept[i] = candidates.pop()
    return kept


def _equal(old: Held, new: Held) -> bool:
    return old is new or old == new


def _ceilings[M: Held](count: int, kept: dict[int, int], old: Sequence[Entry[M]]) -> list[int | None]:
    """For each new message, the position of the next one behind it that stays, if any."""
    ceilings: list[int | None] = [None] * count
    following: int | None = None
    for i in range(count - 1, -1, -1):
        ceilings[i] = following
        if i in kept:
            following = old[kept[i]][0]
    return ceilings


def _free_position(last: int, ceiling: int | None, next_pos: int) -> int:
    """The next position after `last`; at the log's end when there is no room before `ceiling`.

    A position below `next_pos` belonged to a message that leaves in this same step or left before.
    """
    if ceiling is None or last + 1 < ceiling:
        return last + 1
    return next_pos
