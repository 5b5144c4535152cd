"""Runs in the database. The API's side sees one tenant at a time, the worker's all of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.pool import Connections
from agentflow.storage.checkpointer.storage_spans import statement_span
from agentflow_hosting.queries import STATEMENTS, Statement
from agentflow_hosting.runs import CancelAction, Chunk, NewRun, RunRecord, RunStatus

NEWEST: Final = 2**62


# While more places are left than runs can be made at one moment, nobody waits for the others of the tenant.
_NEARLY_FULL: Final = 500


class QueueFullError(Exception):
    """So many runs of the tenant wait already.

    Attributes:
        most: How many may.
    """

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} runs of this tenant wait already.")
        self.most = most


class RunLostError(Exception):
    """Somebody else works on the run now, or it is gone."""


class RunRepository:
    """Reads and writes runs. Each method is one transaction.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine, *, lease_s: float = 5.0) -> None:
        """Use an engine of this event loop.

        Args:
            engine: Where runs are.
            lease_s: A run is free again so long after its holder was last heard of.
        """
        self._connections = Connections(engine)
        self.lease_s = lease_s

    async def create(self, new: NewRun, *, holder: uuid.UUID | None = None) -> tuple[RunRecord, bool] | None:
        """Make a run that waits, or with a holder one that this holder works on at once.

        Returns:
            The run and whether this call made it, or the one of the same id that was there already; None
            when it wanted to be alone on its thread and is not (`reject`).

        Raises:
            QueueFullError: `most_queued` runs of the tenant wait already.

        Cost: it counts what waits, in the index of open runs, at most `most_queued`.
        """
        most_queued = new.most_queued if holder is None else None
        values = {
            "tenant_id": new.tenant_id,
            "run_id": new.run_id,
            "thread_id": new.thread_id,
            "user_id": new.user_id,
            "key_id": new.key_id,
            "agent": new.agent,
            "kind": new.kind,
            "strategy": new.strategy,
            "input": _text(new.input),
            "metadata": _text(new.metadata),
            "webhook": new.webhook,
            "traceparent": new.traceparent,
            "after_s": new.after_s,
            "holder": holder,
            "lease_s": self.lease_s,
            "most_queued": most_queued if most_queued is None else max(0, most_queued - _NEARLY_FULL),
        }
        names = ["create_run"]
        if new.strategy == "reject":
            names.insert(0, "lock_thread_runs")
        found = await self._run(names, new.tenant_id, values)
        if not found and most_queued is not None:
            values["most_queued"] = most_queued
            found = await self._run(["lock_queue", *names], new.tenant_id, values)
        if found:
            return _record(found[0]), True
        there = await self.get(new.tenant_id, new.run_id)
        if there is not None:
            return there, False
        if most_queued is not None:
            await self._refuse_if_full(new.tenant_id, most_queued)
        return None

    async def _refuse_if_full(self, tenant_id: uuid.UUID, most: int) -> None:
        rows = await self._run(["count_queued"], tenant_id, {"tenant_id": tenant_id, "most": most})
        if rows[0]["queued"] >= most:
            raise QueueFullError(most)

    async def get(
        self, tenant_id: uuid.UUID, run_id: uuid.UUID, *, user_id: str | None = None
    ) -> RunRecord | None:
        """One run, or None; only of that user when one is given."""
        values = {"tenant_id": tenant_id, "run_id": run_id, "user_id": user_id}
        return _maybe(await self._run(["get_run"], tenant_id, values))

    async def page(
        self,
        tenant_id: uuid.UUID,
        *,
        thread_id: str | None = None,
        user_id: str | None = None,
        status: RunStatus | None = None,
        before: int = NEWEST,
        limit: int = 100,
    ) -> list[RunRecord]:
        """Runs, newest first, from the one before `before` (an `order_no`) on."""
        values = {
            "tenant_id": tenant_id,
            "thread_id": thread_id,
            "user_id": user_id,
            "status": status,
            "before": before,
            "most": limit,
        }
        name = "list_open_runs" if status in ("pending", "running") else "list_runs"
        return [_record(row) for row in await self._run([name], tenant_id, values)]

    async def open_of_thread(
        self, tenant_id: uuid.UUID, thread_id: str, *, but: uuid.UUID
    ) -> list[RunRecord]:
        """Runs of a thread that are not over, oldest first, without one."""
        values = {"tenant_id": tenant_id, "thread_id": thread_id, "run_id": but}
        return [_record(row) for row in await self._run(["open_runs_of_thread"], tenant_id, values)]

    async def cancel(self, tenant_id: uuid.UUID, run_id: uuid.UUID, action: CancelAction) -> RunRecord | None:
        """End a run that waits, or ask whoever works on it to; None when it is over or there is none."""
        values = {"tenant_id": tenant_id, "run_id": run_id, "action": action}
        for name in ("cancel_waiting_run", "cancel_run"):
            if found := await self._run([name], tenant_id, values):
                return _record(found[0])
        return None

    async def take(self, holder: uuid.UUID) -> RunRecord | None:
        """A run that nobody works on, of the tenant with the fewest at work; None when there is none.

        For a login that sees every tenant.
        """
        return _maybe(await self._run(["take_run"], None, {"holder": holder, "lease_s": self.lease_s}))

    async def next_in_s(self) -> float | None:
        """Seconds until there is a run to take, below zero when there is one; None when nothing waits.

        For a login that sees every tenant.
        """
        row = (await self._run(["waiting_runs"], None, {}))[0]
        return None if row["after_s"] is None else float(row["after_s"])

    async def hold(self, run: RunRecord) -> CancelAction | None:
        """Go on holding; how it shall end, when it shall.

        Raises:
            RunLostError: Somebody else holds it now.
        """
        values = {**_held(run), "lease_s": self.lease_s}
        return _cancel(await self._run(["hold_run"], run.tenant_id, values))

    async def add_chunks(self, run: RunRecord, seq: int, bodies: Sequence[str]) -> CancelAction | None:
        """Keep chunks from number `seq` on, and go on holding; as `hold`.

        One statement: all of them are kept, or none.
        """
        values = {**_held(run), "lease_s": self.lease_s, "seq": seq, "bodies": list(bodies)}
        return _cancel(await self._run(["add_chunks"], run.tenant_id, values))

    async def end(
        self, run: RunRecord, status: RunStatus, error: dict[str, Any] | None = None
    ) -> RunRecord | None:
        """It is over; None when somebody else holds it now."""
        values = {**_held(run), "status": status, "error": None if error is None else _text(error)}
        return _maybe(await self._run(["end_run"], run.tenant_id, values))

    async def put_back(self, run: RunRecord, after_s: float = 0.0) -> RunRecord | None:
        """Whoever takes it next goes on; None when somebody else holds it already."""
        values = {**_held(run), "after_s": after_s}
        return _maybe(await self._run(["put_back_run"], run.tenant_id, values))

    async def chunks(
        self,
        tenant_id: uuid.UUID,
        run_id: uuid.UUID,
        *,
        after: int = -1,
        limit: int = 500,
        most_bytes: int = 1024 * 1024,
    ) -> list[Chunk]:
        """What it said behind chunk number `after`: a page, ended by whichever limit comes first.

        The last one may be larger than `most_bytes` by itself.
        """
        values = {
            "tenant_id": tenant_id,
            "run_id": run_id,
            "after": after,
            "most": limit,
            "most_bytes": most_bytes,
        }
        return [
            Chunk(row["seq"], row["body"]) for row in await self._run(["chunks_after"], tenant_id, values)
        ]

    async def note_webhook(self, run: RunRecord, answer: int | None, error: str | None) -> RunRecord | None:
        """Its address was told once more; None when it is gone.

        Args:
            run: One that is over.
            answer: The HTTP status, if there was one.
            error: Why this attempt does not count; None when it does.
        """
        values = {"tenant_id": run.tenant_id, "run_id": run.run_id, "answer": answer, "error": error}
        return _maybe(await self._run(["note_webhook"], run.tenant_id, values))

    async def forget(self, run: RunRecord) -> None:
        """Delete a run that its holder made and nothing came of."""
        await self._run(["forget_run"], run.tenant_id, _held(run))

    async def forget_old(self, *, chunks_after_s: float, runs_after_s: float, batch: int = 200) -> int:
        """Delete what runs said, and later the runs, so long after they ended; how many runs were cleared.

        For a login that sees every tenant.
        """
        forgotten = 0
        for name, older_than_s in (("forget_chunks", chunks_after_s), ("forget_runs", runs_after_s)):
            while True:
                values = {"older_than_s": older_than_s, "most": batch}
                done = int((await self._run([name], None, values))[0]["forgotten"])
                forgotten += done
                if done < batch:
                    break
        return forgotten

    async def _run(
        self, names: Sequence[str], tenant_id: uuid.UUID | None, values: dict[str, Any]
    ) -> Sequence[Mapping[str, Any]]:
        """The rows of the last statement; tried once more on a new connection when the first was lost."""
        try:
            return await self._once(names, tenant_id, values)
        except StoreUnavailableError:
            return await self._once(names, tenant_id, values)

    async def _once(
        self, names: Sequence[str], tenant_id: uuid.UUID | None, values: dict[str, Any]
    ) -> Sequence[Mapping[str, Any]]:
        """One round trip for one statement that says itself whose rows it wants, or sees every tenant's."""
        statements = [STATEMENTS[name] for name in names]
        async with self._connections.use() as driver:
            if len(statements) == 1 and (tenant_id is None or statements[0].shows_tenant):
                return await _sent(driver, statements[0], values)
            async with driver.transaction():
                if tenant_id is not None:
                    await _sent(driver, STATEMENTS["show_tenant"], {"shown": f"{{{tenant_id}}}"})
                for statement in statements[:-1]:
                    await _sent(driver, statement, values)
                return await _sent(driver, statements[-1], values)


async def _sent(
    driver: asyncpg.Connection[Any], statement: Statement, values: Mapping[str, Any]
) -> Sequence[Mapping[str, Any]]:
    with statement_span(statement.text):
        return await driver.fetch(statement.text, *(values[name] for name in statement.names))


def _held(run: RunRecord) -> dict[str, Any]:
    return {"tenant_id": run.tenant_id, "run_id": run.run_id, "holder": run.holder}


def _cancel(rows: Sequence[Mapping[str, Any]]) -> CancelAction | None:
    if not rows:
        raise RunLostError
    cancel: CancelAction | None = rows[0]["cancel"]
    return cancel


def _maybe(rows: Sequence[Mapping[str, Any]]) -> RunRecord | None:
    return _record(rows[0]) if rows else None


def _record(row: Mapping[str, Any]) -> RunRecord:
    values = {field.name: row[field.name] for field in fields(RunRecord)}
    for name in ("tenant_id", "run_id", "holder"):
        values[name] = None if values[name] is None else uuid.UUID(bytes=values[name].bytes)
    for name in ("input", "metadata", "error"):
        values[name] = None if values[name] is None else json.loads(values[name])
    if values["status"] == "running" and row["held_until"] < row["read_at"]:
        values["status"] = "pending"
    return RunRecord(**values)


def _text(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)
