"""Threads by what they are: found, counted, deleted, and their attributes changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentflow.storage.checkpointer.driver_tenants import TenantStatements
from agentflow.storage.checkpointer.filters import (
    ThreadChange,
    ThreadFilter,
    ThreadPlace,
    ThreadSort,
    as_json_writes,
)
from agentflow.storage.checkpointer.limits import MAX_METADATA_BYTES, metadata_text, metadata_too_large
from agentflow.storage.checkpointer.postgres_rows import info_of, no_thread
from agentflow.storage.checkpointer.types import Scope, ThreadInfo


class PostgresSearch:
    """Statements over the threads of one tenant."""

    def __init__(self, statements: TenantStatements) -> None:
        """Use the statements of this event loop."""
        self._statements = statements

    async def search(
        self, scope: Scope, wanted: ThreadFilter, sort: ThreadSort, after: ThreadPlace | None, limit: int
    ) -> Sequence[ThreadInfo]:
        """A page of threads."""
        order = (sort.removeprefix("-"), sort.startswith("-"))
        place = (None, None) if after is None else (after.key, after.thread_id)
        rows = await self._statements.ask_all(
            scope, "search_threads", *_conditions(scope, wanted), *order, *place, limit
        )
        return [info_of(row) for row in rows]

    async def count(self, scope: Scope, wanted: ThreadFilter) -> int:
        """How many there are."""
        rows = await self._statements.ask_all(scope, "count_threads", *_conditions(scope, wanted))
        return int(rows[0]["threads"])

    async def delete(self, scope: Scope, wanted: ThreadFilter, limit: int) -> list[tuple[str, int]]:
        """Delete threads; their ids and numbers, ordered here, as RETURNING goes by whatever plan was made.

        None when none was found at a second look, too: those of a tenant on its way change places.
        """
        rows = await self._statements.ask(scope, "delete_threads", *_conditions(scope, wanted), limit)
        return sorted((row["thread_id"], row["thread_no"]) for row in rows)

    async def update(self, scope: Scope, thread_id: str, change: ThreadChange) -> ThreadInfo:
        """Change a thread's attributes."""
        added = None if change.metadata is None else metadata_text(change.set_keys)
        rows = await self._statements.ask(
            scope,
            "update_thread",
            thread_id,
            scope.principal,
            change.sets_name,
            change.name,
            added,
            change.removed_keys,
            MAX_METADATA_BYTES,
            change.sets_expiry,
            change.expires_at,
        )
        if rows:
            return info_of(rows[0])
        if added is not None and await self._statements.ask(scope, "get_thread", thread_id, scope.principal):
            raise metadata_too_large(len(added.encode()))
        raise no_thread(thread_id)


def _conditions(scope: Scope, wanted: ThreadFilter) -> tuple[Any, ...]:
    return (
        scope.principal,
        None if wanted.ids is None else list(wanted.ids),
        metadata_text(wanted.metadata) if wanted.metadata else None,
        wanted.user_id,
        wanted.text,
        None if wanted.text is None else as_json_writes(wanted.text),
        wanted.name,
        wanted.updated_before,
        wanted.updated_after,
        wanted.created_before,
        wanted.created_after,
        wanted.status,
    )
