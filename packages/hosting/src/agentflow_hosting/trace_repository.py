"""What runs did, in the database. The API's side sees one tenant at a time, the worker's all of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.driver_errors import translated
from agentflow.utils.jsontext import dumped_text
from agentflow_hosting.queries import QUERIES
from agentflow_hosting.trace_data import MOST_SPANS, EndedRun

_START: Final = {"tenant_id": uuid.UUID(int=0), "thread_id": "", "run_id": ""}


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """What is stored of a run.

    Attributes:
        head: The version of the thread that it left.
        steps: Nodes it went through, side by side counting once.
        spans: `{"span_id", "parent_span_id", "trace_id", "name", "started_at", "finished_at", "duration_ms",
            "status", "attributes"}` each, the run's own first, whose parent is what asked for it.
        events: `{"name", "at", "attributes"}` each.
        spans_lost: How many more there were.
    """

    status: str
    head: int
    started_at: datetime
    finished_at: datetime
    steps: int
    llm_calls: int
    tool_calls: int
    tokens_in: int
    tokens_out: int
    spans: list[dict[str, Any]]
    events: list[dict[str, Any]]
    spans_lost: int


class TraceRepository:
    """Reads and writes what runs did. Each method is one transaction.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def keep(self, runs: Sequence[EndedRun]) -> None:
        """Store runs of any tenants, each added to what an earlier attempt at it did.

        Those of tenants that are gone are left out.

        Cost: one statement, and one for each further attempt at the same run.
        """
        while runs:
            first: dict[Any, EndedRun] = {}
            for run in runs:
                first.setdefault(run.key, run)
            now = list(first.values())
            values = {
                "traces": dumped_text([run.as_row() for run in now], field="traces"),
                "most_spans": MOST_SPANS,
            }
            await self._run("keep_traces", {run.tenant_id for run in now}, values, gives_rows=False)
            runs = [run for run in runs if first[run.key] is not run]

    async def get(self, tenant_id: uuid.UUID, thread_id: str, run_id: str) -> StoredTrace | None:
        """What a run of a stored thread did, or None."""
        values = {"tenant_id": tenant_id, "thread_id": thread_id, "run_id": run_id}
        found = await self._run("get_trace", {tenant_id}, values)
        if not found:
            return None
        row = dict(found[0])
        return StoredTrace(**row | {"spans": json.loads(row["spans"]), "events": json.loads(row["events"])})

    async def forget_old(self, older_than_s: float, *, batch: int = 500) -> int:
        """Delete runs that ended so long ago; how many. For a login that sees every tenant."""
        forgotten = 0
        while True:
            values = {"older_than_s": older_than_s, "most": batch}
            done = int((await self._run("forget_old_traces", None, values))[0]["forgotten"])
            forgotten += done
            if done < batch:
                return forgotten

    async def forget_without_thread(
        self, after: dict[str, Any] | None = None, *, batch: int = 1000
    ) -> tuple[int, dict[str, Any] | None]:
        """Of the next so many: delete those whose thread is gone. For a login that sees every tenant.

        Returns:
            How many, and where to go on; None at the end.
        """
        values = {**(after or _START), "most": batch}
        row = (await self._run("forget_traces_without_thread", None, values))[0]
        following = {name: row[name] for name in _START} if row["seen"] == batch else None
        return int(row["forgotten"]), following

    async def _run(
        self,
        name: str,
        tenants: set[uuid.UUID] | None,
        values: dict[str, Any],
        *,
        gives_rows: bool = True,
    ) -> Sequence[RowMapping]:
        with translated():
            async with self._engine.begin() as connection:
                if tenants is not None:
                    shown = ",".join(sorted(map(str, tenants)))
                    await connection.execute(QUERIES["show_tenant"], {"shown": f"{{{shown}}}"})
                done = await connection.execute(QUERIES[name], values)
                return done.mappings().all() if gives_rows else []
