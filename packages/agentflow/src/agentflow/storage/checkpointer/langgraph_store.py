"""The tables as the LangGraph saver needs them: each method is one statement and one round trip.

Rows and JSON only: what LangGraph's values mean is the integration's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from agentflow.errors import CorruptStateError
from agentflow.storage.checkpointer.limits import check_texts, check_thread_id
from agentflow.storage.checkpointer.postgres_rows import fields_of, folded, messages_of
from agentflow.storage.checkpointer.types import NewThread, Scope, Snapshot, StoredMessage
from agentflow.utils.jsontext import json_text

if TYPE_CHECKING:
    import asyncpg

    from agentflow.storage.checkpointer.delta import Fields
    from agentflow.storage.checkpointer.postgres import PgCheckpointer

# Tells a graph's threads from others; the statements look for it.
NEW_THREAD: Final = NewThread(metadata={"format": "langgraph"})
ROOT: Final = ""


@dataclass(frozen=True, slots=True)
class StoredWrite:
    """One pending write: a task's result for one channel, encoded."""

    idx: int
    channel: str
    kind: str
    value: bytes


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """One checkpoint with what belongs to it.

    Attributes:
        fields: The thread's fields at it.
        messages: The graph's messages at it; () in a nested namespace.
        writes: Pending writes as (task id, channel, kind, value), in LangGraph's order.
    """

    thread_id: str
    node: str
    seq: int
    fields: Fields
    messages: Sequence[StoredMessage]
    writes: Sequence[tuple[str, str, str, bytes]]


@dataclass(frozen=True, slots=True)
class Reading:
    """A thread as a reader met it.

    Attributes:
        thread_no, head: See `Snapshot`; None and 0 without a thread.
        found: The checkpoint asked for, if there is one.
        snapshot: The thread's latest version, when the answer held it.
    """

    thread_no: int | None = None
    head: int = 0
    found: StoredCheckpoint | None = None
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where a namespace stands.

    Attributes:
        last: Id and version of its last checkpoint.
        has_parent: Whether the checkpoint asked about is in it.
    """

    head: int
    last: tuple[str, int] | None
    has_parent: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What `LangGraphStore.page` looks for; None is any.

    Attributes:
        before: Only ids below this one.
    """

    thread_id: str | None = None
    node: str | None = None
    checkpoint_id: UUID | None = None
    before: UUID | None = None
    source: str | None = None
    step: int | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Checkpoints, newest id first, and where the next page begins."""

    checkpoints: Sequence[StoredCheckpoint]
    thread_no: int | None
    head: int
    cursor: tuple[UUID, int] | None


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One checkpoint as it is stored: what it changed, or with `is_full` everything."""

    seq: int
    node: str
    checkpoint_id: str
    run_id: str
    is_full: bool
    delta: Fields


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A history without some of its checkpoints; see `lg_rewrite`.

    Attributes:
        changed: (seq, is_full, delta) of those that stay and need another delta.
        shown_at: Versions of the graph's own checkpoints that stay, ascending.
    """

    fields: Fields
    gone: Sequence[HistoryRow]
    changed: Sequence[tuple[int, bool, Fields]]
    shown_at: Sequence[int]


class LangGraphStore:
    """Reads and writes of one scope beyond `PgCheckpointer`'s own."""

    def __init__(self, home: PgCheckpointer, scope: Scope) -> None:
        """Nothing is opened yet.

        Args:
            home: Whose connections to use.
            scope: Rows outside it do not exist here.
        """
        self._home = home
        self._scope = scope

    async def read(self, thread_id: str, node: str, checkpoint_id: UUID | None) -> Reading:
        """A namespace's checkpoint with this id, or its last one."""
        at = (*self._who(thread_id), checkpoint_id)
        if node != ROOT:
            rows = await self._fetch("lg_read_nested", *at, node)
            return _reading(rows[0], thread_id, node) if rows else Reading()
        rows = await self._fetch("lg_read", *at)
        return _root_reading(rows[0], thread_id, latest=checkpoint_id is None) if rows else Reading()

    async def namespace(self, thread_id: str, node: str, parent: UUID | None) -> Namespace:
        """Where a namespace stands now; head 0 without a thread."""
        rows = await self._fetch("lg_namespace", *self._who(thread_id), node, parent)
        if not rows:
            return Namespace(0, None, has_parent=False)
        row = rows[0]
        last = None if row["seq"] is None else (str(row["checkpoint_id"]), row["seq"])
        return Namespace(row["head"], last, has_parent=row["parent_exists"])

    async def page(self, look_for: Listing, cursor: tuple[UUID, int] | None, limit: int) -> Page:
        """Up to `limit` checkpoints behind the cursor."""
        last_id, last_no = cursor or (None, None)
        rows = await self._fetch_all(
            "lg_list",
            look_for.thread_id,
            self._scope.principal,
            look_for.node,
            look_for.checkpoint_id,
            look_for.before,
            look_for.source,
            look_for.step,
            look_for.run_id,
            last_id,
            limit,
            last_no,
        )
        found = [_checkpoint(row, row["thread_id"], row["node"]) for row in rows]
        end = (rows[-1]["checkpoint_id"], rows[-1]["thread_no"]) if len(rows) == limit else None
        if not rows:
            return Page((), None, 0, None)
        return Page(found, rows[0]["thread_no"], rows[0]["head"], end)

    async def put_writes(
        self,
        thread_id: str,
        thread_no: int | None,
        checkpoint_id: str,
        task: tuple[str, str],
        writes: Sequence[StoredWrite],
    ) -> bool:
        """Store a task's results; False, and nothing stored, when the thread (of that number) is gone.

        Locks the thread's row against deletion until commit.
        """
        check_texts("write", (checkpoint_id, *task, *(write.channel for write in writes)))
        columns = [[getattr(write, name) for write in writes] for name in ("idx", "channel", "kind", "value")]
        rows = await self._fetch(
            "lg_put_writes", *self._who(thread_id), thread_no, checkpoint_id, *task, *columns
        )
        return bool(rows)

    async def copy(self, source: str, target: str) -> None:
        """Copy a thread with everything below it, in one transaction. Two round trips.

        Raises:
            ThreadNotFoundError: There is no such graph's thread.
            ConflictError: The target exists; it stays as it is.
        """
        check_thread_id(target)
        copies = (await self._home.backend()).copies
        await copies.copy(self._scope, source, target, {"format": "langgraph"})

    async def rows(self, thread_id: str, after: int, limit: int) -> tuple[int, int, list[HistoryRow]]:
        """Its number and head, and a page of its checkpoints, oldest first; (0, 0, []) at the end."""
        rows = await self._fetch("lg_rows", *self._who(thread_id), after, limit)
        if not rows:
            return 0, 0, []
        history = [
            HistoryRow(
                row["seq"],
                row["node"],
                str(row["checkpoint_id"]),
                row["run_id"],
                row["is_full"],
                fields_of(row["delta"], thread_id),
            )
            for row in rows
        ]
        return rows[0]["thread_no"], rows[0]["head"], history

    async def rewrite(self, thread_id: str, thread_no: int, head: int, new: Rewrite) -> bool:
        """Replace a thread's history; False, and nothing changed, when its head is another."""
        changed = [(seq, full, json_text(delta, field="state")) for seq, full, delta in new.changed]
        rows = await self._fetch(
            "lg_rewrite",
            *self._who(thread_id),
            thread_no,
            head,
            json_text(new.fields, field="state"),
            [row.seq for row in new.gone],
            *([change[i] for change in changed] for i in range(3)),
            list(new.shown_at),
            new.shown_at[-1] if new.shown_at else 0,
            [row.checkpoint_id for row in new.gone],
        )
        return bool(rows)

    async def delete_unchanged(self, thread_id: str, thread_no: int, head: int) -> bool:
        """Delete a thread unless somebody wrote to it since; False if so."""
        return bool(await self._fetch("lg_delete_unchanged", *self._who(thread_id), thread_no, head))

    async def threads_of_runs(self, run_ids: Sequence[str], after: str, limit: int) -> list[str]:
        """Ids above `after` of threads that hold a checkpoint of these runs, ascending."""
        rows = await self._fetch_all("lg_threads_of_runs", after, self._scope.principal, list(run_ids), limit)
        return [row["thread_id"] for row in rows]

    def _who(self, thread_id: str) -> tuple[Any, ...]:
        check_thread_id(thread_id)
        return (thread_id, self._scope.principal)

    async def _fetch(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        return await (await self._home.backend()).of_tenants.ask(self._scope, name, *arguments)

    async def _fetch_all(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        return await (await self._home.backend()).of_tenants.ask_all(self._scope, name, *arguments)


def _reading(row: asyncpg.Record, thread_id: str, node: str) -> Reading:
    found = None if row["seq"] is None else _checkpoint(row, thread_id, node)
    return Reading(row["thread_no"], row["head"], found)


def _root_reading(row: asyncpg.Record, thread_id: str, *, latest: bool) -> Reading:
    if not latest:
        return _reading(row, thread_id, ROOT)
    fields = fields_of(row["state"], thread_id)
    messages = messages_of(row)
    snapshot = Snapshot(row["thread_no"], row["head"], row["next_pos"], fields, messages)
    found = (
        None
        if row["seq"] is None
        else StoredCheckpoint(thread_id, ROOT, row["seq"], fields, messages, _writes(row))
    )
    return Reading(row["thread_no"], row["head"], found, snapshot)


def _checkpoint(row: asyncpg.Record, thread_id: str, node: str) -> StoredCheckpoint:
    if not row["deltas"]:
        raise CorruptStateError(f"The history of thread {thread_id!r} has a hole; none of it was used.")
    messages = messages_of(row) if node == ROOT else ()
    return StoredCheckpoint(
        thread_id, node, row["seq"], folded(row["deltas"], thread_id), messages, _writes(row)
    )


def _writes(row: asyncpg.Record) -> list[tuple[str, str, str, bytes]]:
    if row["task_id"] is None:
        return []
    return list(zip(*(row[name] for name in ("task_id", "channel", "kind", "value")), strict=True))
