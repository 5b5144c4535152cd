"""`/v1/observability/{thread_id}`: what the runs of a thread did."""

from __future__ import annotations

from agentflow.client.models import Observability
from agentflow.client.operations.operation import Operation
from agentflow.client.target import segment


def observe(thread_id: str, *, run_id: str | None = None) -> Operation[Observability]:
    """The thread's runs, and the spans, events and tokens of one of them.

    Args:
        thread_id: Of the thread.
        run_id: Which run; the latest when not given.
    """
    return Operation(
        method="GET",
        path=f"/v1/observability/{segment(thread_id)}",
        read=Observability.model_validate,
        query={"run_id": run_id},
    )
