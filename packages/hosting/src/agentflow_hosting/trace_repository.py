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
from agentflow_hosting.queries import QUERIES
from agentflow_hosting.trace_data import MOST_SPANS, EndedRun

_START: Final = {"tenant_id": uuid.UUID(int=0), "thread_id": "", "run_id": "", "attempt": ""}
# A run is put back by each process that ends under it; what is shown of it is bounded anyhow.
_MOST_ATTEMPTS: Final = 100
_SUMS: Final = ("steps", "llm_calls", "tool_calls", "tokens_in", "tokens_out")


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

        Cost: one statement. It is refused as a whole where the day of one has no partition yet.
        """
        if runs:
            rows = b",".join(run.as_json() for run in runs)
            values = {"traces": f"[{rows.decode()}]"}
            await self._run("keep_traces", {run.tenant_id for run in runs}, values, gives_rows=False)

    async def get(self, tenant_id: uuid.UUID, thread_id: str, run_id: str) -> StoredTrace | None:
        """What a run of a stored thread did, or None."""
        values = {
            "tenant_id": tenant_id,
            "thread_id": thread_id,
            "run_id": run_id,
            "most": _MOST_ATTEMPTS,
        }
        rows = await self._run("get_trace", {tenant_id}, values)
        life = [row for row in rows if row["thread_no"] == rows[0]["thread_no"]]
        return _added_up(life) if life else None

    async def make_days(self) -> int:
        """Make partitions for a week ahead; how many were missing. For the login that owns the tables."""
        return int((await self._run("make_trace_days", None, {}))[0]["made"])

    async def drop_days(self, older_than_s: float) -> int:
        """Drop the days of which every run ended so long ago; how many. For the login that owns the tables.

        Raises:
            StoreUnavailableError: Also when somebody reads them for longer than this waits.
        """
        values = {"older_than_s": older_than_s}
        return int((await self._run("drop_trace_days", None, values))[0]["dropped"])

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


def _added_up(attempts: Sequence[RowMapping]) -> StoredTrace:
    """Attempts at one run, the last first: their counts together, and as many spans as there is room for."""
    last = attempts[0]
    spans: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    lost = 0
    for row in attempts:
        lost += row["spans_lost"]
        own_spans, own_events = json.loads(row["spans"]), json.loads(row["events"])
        if row is last or len(spans) + len(own_spans) <= MOST_SPANS:
            spans = own_spans + spans
        else:
            lost += len(own_spans)
        if row is last or len(events) + len(own_events) <= MOST_SPANS:
            events = own_events + events
    return StoredTrace(
        status=last["status"],
        head=last["head"],
        started_at=min(row["started_at"] for row in attempts),
        finished_at=last["finished_at"],
        spans=spans,
        events=events,
        spans_lost=lost,
        **{name: sum(row[name] for row in attempts) for name in _SUMS},
    )
