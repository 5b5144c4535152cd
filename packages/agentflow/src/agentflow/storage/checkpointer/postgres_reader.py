"""Reading and housekeeping: each method is one statement and one round trip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from agentflow.errors import CheckpointNotFoundError
from agentflow.storage.checkpointer.archive import check_row, since_full, unpack
from agentflow.storage.checkpointer.driver_tenants import TenantStatements
from agentflow.storage.checkpointer.group_read import Question
from agentflow.storage.checkpointer.postgres_rows import (
    COLUMNS,
    fields_of,
    folded,
    info_of,
    is_langgraphs,
    messages_of,
    no_thread,
)
from agentflow.storage.checkpointer.types import (
    CheckpointInfo,
    MessagePage,
    MessagePlace,
    Scope,
    Snapshot,
    StoredMessage,
    ThreadInfo,
    lineage,
)

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A thread that was read; may be shared by many readers.

    Attributes:
        fields: The snapshot's fields as they are stored.
    """

    snapshot: Snapshot
    fields: str

    def own_snapshot(self) -> Snapshot:
        """One whose fields and list of messages nobody else has."""
        return replace(self.snapshot, fields=json.loads(self.fields), messages=list(self.snapshot.messages))


class PostgresReader:
    """Answers from the tables; see `BaseCheckpointer` for what each method gives and raises."""

    def __init__(self, statements: TenantStatements) -> None:
        """Use the statements of this event loop."""
        self._statements = statements

    async def load(self, scope: Scope, thread_id: str, last_messages: int | None = None) -> Loaded | None:
        """The thread's latest version, or with only its last messages."""
        rows = await self._statements.ask_once(scope, "load", thread_id, scope.principal, last_messages)
        return _loaded(rows[0], thread_id) if rows else None

    async def load_group(self, questions: Sequence[Question]) -> dict[int, Loaded]:
        """Latest versions: place in the list, from 0 -> thread. None for those that do not exist."""
        rows = await self._statements.ask_several(_scopes(questions), "load_group", *_asked(questions))
        return {row["i"] - 1: _loaded(row, questions[row["i"] - 1][1]) for row in rows}

    async def versions(self, _placement: int, questions: Sequence[Question]) -> dict[int, Version]:
        """Lives and heads: place in the list, from 0 -> version. None for those that do not exist."""
        rows = await self._statements.ask_several(_scopes(questions), "versions", *_asked(questions))
        return {row["i"] - 1: (row["thread_no"], row["head"]) for row in rows}

    async def load_at(self, scope: Scope, thread_id: str, seq: int) -> Snapshot:
        """The thread as it was at a version."""
        rows = await self._ask("load_at", scope, thread_id, max(0, min(seq, 2**31 - 1)))
        if not rows:
            raise no_thread(thread_id)
        row = rows[0]
        deltas, seqs, starts_full = row["deltas"] or [], row["seqs"] or [], row["starts_full"]
        if row["archive"] is not None and not starts_full:
            packed = since_full(unpack(row["archive"]), seq)
            deltas = [checkpoint.delta for checkpoint in packed] + deltas
            seqs = [checkpoint.seq for checkpoint in packed] + seqs
            starts_full = bool(packed) and packed[0].is_full
        if not seqs or seqs[-1] != seq:
            raise CheckpointNotFoundError(f"Thread {thread_id!r} has no checkpoint {seq}.")
        if not is_langgraphs(deltas[0]):
            check_row(starts_full, seqs)
        fields = folded(deltas, thread_id)
        return Snapshot(row["thread_no"], seq, row["next_pos"], fields, messages_of(row))

    async def history(
        self, scope: Scope, thread_id: str, before: int | None, limit: int
    ) -> Sequence[CheckpointInfo]:
        """Checkpoints, newest first."""
        rows = await self._ask("history", scope, thread_id, before, limit)
        found: list[CheckpointInfo] = []
        for row in rows:
            seq, checkpoint_id, source, stored_node, step, run_id, created_at, archive = row
            if archive is None:
                parent, node = lineage(seq, source, stored_node)
                found.append(
                    CheckpointInfo(seq, parent, checkpoint_id, source, node, step, run_id, created_at)
                )
            else:
                found += [checkpoint.info() for checkpoint in reversed(unpack(archive))]
        return [info for info in found if before is None or info.seq < before][:limit]

    async def get_thread(self, scope: Scope, thread_id: str) -> ThreadInfo | None:
        """A thread's attributes."""
        rows = await self._ask("get_thread", scope, thread_id)
        return info_of(rows[0]) if rows else None

    async def list_threads(
        self, scope: Scope, search: str | None, offset: int, limit: int, id_prefix: str
    ) -> Sequence[ThreadInfo]:
        """Threads, last changed first."""
        rows = await self._statements.ask_all(
            scope, "list_threads", scope.principal, search, offset, limit, len(id_prefix)
        )
        return [info_of(row) for row in rows]

    async def list_messages(
        self, scope: Scope, thread_id: str, search: str | None, offset: int, limit: int | None
    ) -> Sequence[StoredMessage]:
        """The context's messages, oldest first."""
        rows = await self._ask("list_messages", scope, thread_id, search, offset, limit)
        if not rows:
            raise no_thread(thread_id)
        return [StoredMessage(*row) for row in rows if row["pos"] is not None]

    async def read_messages(
        self,
        scope: Scope,
        thread_id: str,
        after: MessagePlace,
        *,
        skip: int,
        limit: int,
        max_bytes: int,
        outline: bool,
    ) -> MessagePage:
        """A page of a context at one version."""
        place = (after.thread_no, after.version, after.pos)
        rows = await self._ask("messages_page", scope, thread_id, *place, skip, limit, max_bytes, outline)
        if not rows:
            raise no_thread(thread_id)
        messages = [
            StoredMessage(*(row[column] for column in COLUMNS)) for row in rows if row["pos"] is not None
        ]
        pos = messages[-1].pos if messages else after.pos
        following = MessagePlace(rows[0]["thread_no"], rows[0]["version"], pos)
        # A page that its bytes filled ends short, so only an empty one is known to be the last.
        return MessagePage(messages, following, is_last=not messages)

    async def delete_thread(self, scope: Scope, thread_id: str) -> int | None:
        """Delete a thread; its number, or None if there was none."""
        rows = await self._ask("delete_thread", scope, thread_id)
        return rows[0]["thread_no"] if rows else None

    async def request_stop(self, scope: Scope, thread_id: str) -> bool:
        """Leave word for the thread's run."""
        return bool(await self._ask("request_stop", scope, thread_id))

    async def stop_requested(self, scope: Scope, thread_id: str) -> bool:
        """Whether there is word for the thread's run."""
        rows = await self._ask("stop_requested", scope, thread_id)
        return bool(rows and rows[0]["stop_requested"])

    async def _ask(self, name: str, scope: Scope, thread_id: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._statements.ask(scope, name, thread_id, scope.principal, *arguments)


def _loaded(row: asyncpg.Record, thread_id: str) -> Loaded:
    fields, messages = fields_of(row["state"], thread_id), messages_of(row)[::-1]
    snapshot = Snapshot(row["thread_no"], row["head"], row["next_pos"], fields, messages, row["placement"])
    return Loaded(snapshot, row["state"])


def _scopes(questions: Sequence[Question]) -> list[Scope]:
    return [scope for scope, _ in questions]


def _asked(questions: Sequence[Question]) -> tuple[list[str], list[str | None]]:
    """Ids and principals, as the statements for groups take them."""
    return [thread_id for _, thread_id in questions], [scope.principal for scope, _ in questions]
