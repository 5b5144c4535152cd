"""Copies of whole threads, made by the server."""

from __future__ import annotations

from typing import Any

from agentflow.errors import ConflictError, StoreUnavailableError
from agentflow.storage.checkpointer.driver_statements import Statements
from agentflow.storage.checkpointer.driver_tenants import TenantStatements
from agentflow.storage.checkpointer.filters import CopiedThread
from agentflow.storage.checkpointer.limits import metadata_text
from agentflow.storage.checkpointer.postgres_rows import no_thread
from agentflow.storage.checkpointer.types import Scope


class PostgresCopies:
    """Copies threads, of one event loop."""

    def __init__(self, statements: Statements, of_tenants: TenantStatements) -> None:
        """Nothing is sent yet."""
        self._statements = statements
        self._of_tenants = of_tenants

    async def copy(
        self, scope: Scope, source: str, target: str, holding: dict[str, Any] | None = None
    ) -> CopiedThread:
        """Copy a thread with everything below it, in one transaction. Two round trips.

        Args:
            holding: Only a thread whose metadata holds this.

        Raises:
            ThreadNotFoundError: There is no such thread.
            ConflictError: The target exists; it stays as it is.
            StoreUnavailableError: No answer, or the tenant is just being moved.
        """
        placements = self._of_tenants.placements
        number = (await self._statements.fetch("copy_number"))[0]["thread_no"]
        metadata = metadata_text(holding or {})
        tries = self._statements.backoff()
        while await tries.wait():
            before = placements.view(scope)
            where = (placements.creates_in(scope), placements.look(scope))
            asked = (source, scope.principal, target, number, *where, metadata)
            row = (await self._of_tenants.ask(scope, "copy_thread", *asked))[0]
            if row["copied"]:
                return CopiedThread(row["head"] or 0, row["size_bytes"])
            if row["found"] and row["here"]:
                raise ConflictError(
                    f"Thread {target!r} exists already: delete it first, or copy to another id."
                )
            # Looked for in too few places, or to be made in another one.
            if not await placements.learn_more(scope, before) and not row["found"]:
                raise no_thread(source)
        raise StoreUnavailableError("The tenant is being moved; the call may be repeated.")
