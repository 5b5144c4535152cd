"""Traces that were stored before they were kept by the day stand in their days afterwards."""

import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg

from tests.support import databases
from tests.support.run import ROOT

OLD_ROW = """
INSERT INTO agentflow_run_traces (tenant_id, thread_id, run_id, thread_no, head, status, started_at,
    finished_at, steps, llm_calls, tool_calls, tokens_in, tokens_out, spans, events, spans_lost)
VALUES ($1, 't', $2, 1, 3, 'completed', $3::timestamptz - interval '2 seconds', $3, 2, 1, 0, 11, 7,
    '[{"name": "invoke_agent echo"}]', '[{"name": "checkpoint"}]', 4)
"""


def upgrade(url: str, revision: str) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "alembic",
            "-c",
            str(ROOT / "migrations" / "alembic.ini"),
            "upgrade",
            revision,
        ],
        cwd=ROOT,
        env={**os.environ, "AGENTFLOW_DATABASE_URL": url},
        check=True,
        capture_output=True,
    )


async def written(url: str, tenant_id: uuid.UUID, ends: dict[str, datetime]) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        await connection.execute(
            "INSERT INTO agentflow_tenants (tenant_id, slug, placement) VALUES ($1, 'acme', 1)", tenant_id
        )
        for run_id, finished_at in ends.items():
            await connection.execute(OLD_ROW, tenant_id, run_id, finished_at)
    finally:
        await connection.close()


async def found(url: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        return list(
            await connection.fetch(
                "SELECT *, tableoid::regclass::text AS leaf FROM agentflow_run_traces ORDER BY finished_at"
            )
        )
    finally:
        await connection.close()


def test_old_traces_are_moved_into_their_days(database_url: str) -> None:
    """Each of them, whole, by the UTC day of its end: also one of long ago, and one on the edge of a day."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = {
        "long-ago": midnight - timedelta(days=40),
        "before-midnight": midnight - timedelta(microseconds=1),
        "at-midnight": midnight,
    }
    upgrade(database_url, "0029")
    tenant_id = uuid.uuid4()
    databases.run(written(database_url, tenant_id, ends))
    upgrade(database_url, "head")
    rows = databases.run(found(database_url))
    assert [row["run_id"] for row in rows] == list(ends)
    for row in rows:
        day = row["finished_at"].astimezone(UTC).date()
        assert (row["day"], row["leaf"]) == (day, f"agentflow_run_traces_p{day:%Y%m%d}")
        assert row["finished_at"] == ends[row["run_id"]]
        assert row["started_at"] == row["finished_at"] - timedelta(seconds=2)
        assert (row["tenant_id"], row["thread_id"], row["thread_no"], row["head"]) == (tenant_id, "t", 1, 3)
        assert (row["steps"], row["llm_calls"], row["tokens_in"], row["tokens_out"]) == (2, 1, 11, 7)
        assert (row["status"], row["spans_lost"], row["attempt"]) == ("completed", 4, "")
        assert (row["spans"], row["events"]) == (
            '[{"name": "invoke_agent echo"}]',
            '[{"name": "checkpoint"}]',
        )
