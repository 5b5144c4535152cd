"""Runs and what they did, in the form clients read."""

from datetime import datetime
from typing import Any

from agentflow_api.observability.known_runs import KnownRun
from agentflow_hosting.trace_repository import StoredTrace


def run_by_trace(
    run_id: str, thread_id: str, trace: StoredTrace, status: str | None = None
) -> dict[str, Any]:
    """A run whose spans are stored.

    Args:
        run_id: Its id.
        thread_id: As the tenant knows it.
        trace: What is stored.
        status: Where that is older than the run.
    """
    lost = {
        "name": "spans_lost",
        "at": trace.finished_at.isoformat(),
        "attributes": {"count": trace.spans_lost},
    }
    return {
        "run_id": run_id,
        "thread_id": thread_id,
        "status": status or trace.status,
        **_times(trace.started_at, None if status == "running" else trace.finished_at),
        "spans": trace.spans,
        "events": [*trace.events, lost] if trace.spans_lost else trace.events,
        "usage": {
            "input_tokens": trace.tokens_in,
            "output_tokens": trace.tokens_out,
            "total_tokens": trace.tokens_in + trace.tokens_out,
        },
        "llm_calls": trace.llm_calls,
        "tool_calls": trace.tool_calls,
        "iterations": trace.steps,
    }


def run_by_checkpoints(run: KnownRun, thread_id: str, status: str, tool_calls: int) -> dict[str, Any]:
    """A run of which only its checkpoints are known: no spans, and what models were asked is null."""
    events = [
        {
            "name": "checkpoint",
            "at": info.created_at.isoformat(),
            "attributes": {
                "agentflow.checkpoint": info.seq,
                "agentflow.node": info.node,
                "agentflow.source": info.source,
            },
        }
        for info in reversed(run.checkpoints)
    ]
    over = status not in ("running", "unknown")
    return {
        "run_id": run.run_id,
        "thread_id": thread_id,
        "status": status,
        **_times(run.began_at, run.seen_at if over else None),
        "spans": [],
        "events": events,
        "usage": None,
        "llm_calls": None,
        "tool_calls": tool_calls,
        "iterations": run.steps,
    }


def _times(started_at: datetime, finished_at: datetime | None) -> dict[str, Any]:
    duration = None if finished_at is None else (finished_at - started_at).total_seconds()
    return {
        "started_at": started_at.isoformat(),
        "finished_at": None if finished_at is None else finished_at.isoformat(),
        "duration_ms": None if duration is None else round(duration * 1000, 3),
    }
