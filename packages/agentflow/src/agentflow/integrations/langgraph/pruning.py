"""Taking checkpoints out of a history whose rows build on each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agentflow.errors import ConflictError, CorruptStateError
from agentflow.integrations.langgraph.entries import Entry, Spaces, fields_with, spaces_of
from agentflow.storage.checkpointer.delta import Fields, apply, diff
from agentflow.storage.checkpointer.langgraph_store import ROOT, HistoryRow, LangGraphStore, Rewrite

_PAGE: Final = 500
_TRIES: Final = 100
_FULL_EVERY: Final = 32  # reading any version folds at most so many rows


@dataclass(frozen=True, slots=True)
class Version:
    """A checkpoint with the thread's entries at it."""

    row: HistoryRow
    spaces: Spaces

    @property
    def entry(self) -> Entry:
        """The checkpoint's own entry."""
        return self.spaces[self.row.node]


Choose = Callable[[Sequence[Version]], set[str]]


class Pruner:
    """Rewrites histories: each thread in one transaction, or not at all."""

    def __init__(self, store: LangGraphStore) -> None:
        """Nothing is read yet."""
        self._store = store

    async def keep(self, thread_id: str, choose: Choose) -> None:
        """Keep the checkpoints whose ids `choose` gives, delete the others; the thread too, if none is left.

        Reads the thread's history in pages, then one round trip; once more if somebody wrote meanwhile.

        Raises:
            ConflictError: Somebody wrote each time, over and over.
        """
        for _ in range(_TRIES):
            thread_no, head, history = await self._read(thread_id)
            kept = choose(history) if history else set()
            if len(kept) == len(history):
                return
            if not kept:
                done = await self._store.delete_unchanged(thread_id, thread_no, head)
            else:
                done = await self._store.rewrite(thread_id, thread_no, head, without(history, kept))
            if done:
                return
        raise ConflictError(
            f"Thread {thread_id!r} is written to all the time; prune it when its runs are done."
        )

    async def _read(self, thread_id: str) -> tuple[int, int, list[Version]]:
        first: tuple[int, int] | None = None
        history: list[Version] = []
        fields: Fields = {}
        async for thread_no, head, rows in self._pages(thread_id):
            first = first or (thread_no, head)
            for row in rows:
                fields = _next(fields, row, thread_id)
                history.append(Version(row, spaces_of(fields, thread_id)))
        return (*(first or (0, 0)), history)

    async def _pages(self, thread_id: str) -> AsyncIterator[tuple[int, int, list[HistoryRow]]]:
        after = 0
        while True:
            thread_no, head, rows = await self._store.rows(thread_id, after, _PAGE)
            if rows:
                yield thread_no, head, rows
            if len(rows) < _PAGE:
                return
            after = rows[-1].seq


def without(history: Sequence[Version], kept: set[str]) -> Rewrite:
    """The history with the kept checkpoints only: their states stay as they are, what they build on changes.

    The last one is full, so that what is written next builds on nothing that is gone.
    """
    staying = [version for version in history if version.row.checkpoint_id in kept]
    changed: list[tuple[int, bool, Fields]] = []
    spaces: Spaces = {}
    since_full = 0
    for i, version in enumerate(staying):
        after = _surviving(version.spaces, spaces, kept)
        full = i in {0, len(staying) - 1} or version.row.is_full or since_full + 1 >= _FULL_EVERY
        since_full = 0 if full else since_full + 1
        delta = fields_with(after) if full else diff(fields_with(spaces), fields_with(after))
        if full != version.row.is_full or delta != version.row.delta:
            changed.append((version.row.seq, full, delta))
        spaces = after
    return Rewrite(
        fields=fields_with(spaces),
        gone=[version.row for version in history if version.row.checkpoint_id not in kept],
        changed=changed,
        shown_at=[version.row.seq for version in staying if version.row.node == ROOT],
    )


def latest(history: Sequence[Version]) -> set[str]:
    """The last checkpoint of each namespace, with what it cannot be read without."""
    by_id = {version.row.checkpoint_id: version for version in history}
    lasts = {version.row.node: version for version in history}
    return {kept for last in lasts.values() for kept in _with_sources(last, by_id)}


def not_of_runs(run_ids: Sequence[str]) -> Choose:
    """Chooses the checkpoints of all other runs."""
    runs = set(run_ids)
    return lambda history: {
        version.row.checkpoint_id for version in history if version.row.run_id not in runs
    }


def _with_sources(last: Version, by_id: dict[str, Version]) -> set[str]:
    """A checkpoint, and its ancestors back to where each of its delta channels was last stored whole."""
    kept = {last.row.checkpoint_id}
    missing = set(last.entry["metadata"].get("counters_since_delta_snapshot") or ())
    missing -= set(last.entry["values"])
    version = by_id.get(last.entry.get("parent") or "")
    while version is not None and missing and version.row.checkpoint_id not in kept:
        kept.add(version.row.checkpoint_id)
        missing -= set(version.entry["values"])
        version = by_id.get(version.entry.get("parent") or "")
    return kept


def _surviving(spaces: Spaces, before: Spaces, kept: set[str]) -> Spaces:
    """The entries at a version, each namespace at its last checkpoint that is kept."""
    after: Spaces = {}
    for node, entry in spaces.items():
        if entry["id"] in kept:
            after[node] = entry
        elif node in before:
            after[node] = before[node]
    return after


def _next(fields: Fields, row: HistoryRow, thread_id: str) -> Fields:
    if row.is_full:
        return row.delta
    try:
        return apply(fields, row.delta)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise CorruptStateError(
            f"The history of thread {thread_id!r} has a hole; none of it was used."
        ) from error
