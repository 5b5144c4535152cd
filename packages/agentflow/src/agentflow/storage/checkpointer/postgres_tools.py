"""The tool ledger in Postgres: each method is one statement and one round trip."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.errors import StaleCheckpointError
from agentflow.storage.checkpointer.driver_tenants import TenantStatements
from agentflow.storage.checkpointer.postgres_rows import no_thread, results_of
from agentflow.storage.checkpointer.types import Scope, ToolCallInfo, ToolResult, ToolStart, ToolStarts


class PostgresTools:
    """See `ThreadSession.start_tools` and its neighbours."""

    def __init__(self, statements: TenantStatements) -> None:
        """Use the statements of this event loop."""
        self._statements = statements

    async def start(self, scope: Scope, thread_id: str, starts: ToolStarts) -> Sequence[ToolStart]:
        """Write intents down; a second round trip only to tell why that was refused.

        Raises:
            StaleCheckpointError, ThreadNotFoundError, and what `Statements.fetch` raises.
        """
        intents = starts.intents
        rows = await self._statements.ask(
            scope,
            "start_tools",
            thread_id,
            scope.principal,
            starts.expected_head,
            starts.thread_no,
            starts.run_id,
            starts.started_by,
            [intent.key for intent in intents],
            [intent.call_id for intent in intents],
            [intent.name for intent in intents],
            [intent.node for intent in intents],
            list(range(len(intents))),
        )
        if not rows:
            await self._refuse(scope, thread_id, starts)
        found = {row["tool_key"]: row for row in rows}
        return [
            ToolStart(intent.key, found[intent.key]["attempt"], found[intent.key]["result"])
            for intent in intents
        ]

    async def finish(
        self, scope: Scope, thread_id: str, thread_no: int, results: Sequence[ToolResult]
    ) -> None:
        """Keep results."""
        await self._statements.ask(
            scope, "finish_tools", thread_id, scope.principal, thread_no, *results_of(results)
        )

    async def calls(self, scope: Scope, thread_id: str) -> Sequence[ToolCallInfo]:
        """A thread's ledger."""
        rows = await self._statements.ask(scope, "tool_calls", thread_id, scope.principal)
        return [ToolCallInfo(**row) for row in rows]

    async def _refuse(self, scope: Scope, thread_id: str, starts: ToolStarts) -> None:
        rows = await self._statements.ask(scope, "why_not", thread_id, starts.expected_head, scope.principal)
        if rows and not rows[0]["visible"]:
            raise no_thread(thread_id)
        found = rows[0]["head"] if rows else 0
        raise StaleCheckpointError(thread_id, expected=starts.expected_head, found=found)
