"""Writing checkpoints: each is one statement and one round trip."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import asyncpg

from agentflow.errors import StaleCheckpointError
from agentflow.storage.checkpointer.driver_statements import Statements
from agentflow.storage.checkpointer.limits import EncodedWrite
from agentflow.storage.checkpointer.postgres_rows import columns_of, no_thread
from agentflow.storage.checkpointer.types import CheckpointWrite, Committed, NewThread, Scope, next_pos
from agentflow.utils.jsontext import json_text

# Every so many checkpoints one holds all fields: reading any version folds at most this many rows.
FULL_EVERY: Final = 32


class PostgresWriter:
    """Appends checkpoints one by one."""

    def __init__(self, statements: Statements, *, thread_ttl: timedelta | None) -> None:
        """Nothing is written yet.

        Args:
            statements: Of this event loop.
            thread_ttl: Set anew by each write; None leaves a thread's time as it is.
        """
        self._statements = statements
        self._ttl = thread_ttl

    async def append(
        self,
        scope: Scope,
        thread_id: str,
        attributes: NewThread,
        write: CheckpointWrite,
        encoded: EncodedWrite,
    ) -> Committed:
        """See `ThreadSession.append`.

        Raises:
            StaleCheckpointError, ThreadNotFoundError, and what `Statements.fetch` raises.

        One round trip; a second one only to tell why a write was refused. Locks the thread's row
        for the length of the statement.
        """
        if write.expected_head == 0:
            rows = await self._create(scope, thread_id, attributes, write, encoded)
        else:
            rows = await self._extend(scope, thread_id, write, encoded)
        if rows:
            return Committed(rows[0]["head"], rows[0]["thread_no"], rows[0]["stop_requested"])
        return await self._why_not(scope, thread_id, write)

    async def _create(
        self,
        scope: Scope,
        thread_id: str,
        attributes: NewThread,
        write: CheckpointWrite,
        encoded: EncodedWrite,
    ) -> list[asyncpg.Record]:
        return await self._statements.fetch(
            "create_thread",
            scope.placement,
            scope.tenant_id,
            thread_id,
            next_pos(0, write.added),
            write.run_id,
            encoded.fields,
            attributes.user_id if scope.principal is None else scope.principal,
            attributes.name,
            json_text(attributes.metadata, field="metadata"),
            self._ttl,
            write.step,
            write.checkpoint_id,
            write.source,
            write.node,
            *columns_of(write.added),
        )

    async def _extend(
        self, scope: Scope, thread_id: str, write: CheckpointWrite, encoded: EncodedWrite
    ) -> list[asyncpg.Record]:
        is_full = write.expected_head % FULL_EVERY == 0
        arguments: list[Any] = [
            scope.placement,
            scope.tenant_id,
            thread_id,
            next_pos(0, write.added),
            write.run_id,
            encoded.fields,
            write.starts_run,
            self._ttl,
            write.expected_head,
            write.thread_no,
            scope.principal,
            write.step,
            is_full,
            write.checkpoint_id,
            write.source,
            write.node,
            encoded.fields if is_full else encoded.patch,
        ]
        if write.removed:
            arguments += [*columns_of(write.added), list(write.removed)]
            return await self._statements.fetch("append_edits", *arguments)
        if write.added:
            return await self._statements.fetch("append_messages", *arguments, *columns_of(write.added))
        return await self._statements.fetch("append", *arguments)

    async def _why_not(self, scope: Scope, thread_id: str, write: CheckpointWrite) -> Committed:
        """The commit that this write already was, or the reason it was refused."""
        rows = await self._statements.fetch(
            "why_not", scope.placement, scope.tenant_id, thread_id, write.expected_head, scope.principal
        )
        if not rows:
            raise StaleCheckpointError(thread_id, expected=write.expected_head, found=0)
        row = rows[0]
        if not row["visible"]:
            raise no_thread(thread_id)
        if row["checkpoint_id"] == write.checkpoint_id:
            # The reply to an earlier try was lost, its commit was not.
            return Committed(write.expected_head + 1, row["thread_no"], row["stop_requested"])
        raise StaleCheckpointError(thread_id, expected=write.expected_head, found=row["head"])
