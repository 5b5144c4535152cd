"""Runs in the form clients read."""

from typing import Any

from agentflow_hosting import views
from agentflow_hosting.runs import RunRecord
from agentflow_tenancy import Principal


def run_view(run: RunRecord, principal: Principal) -> dict[str, Any]:
    """A run without what it was asked; the thread's id as the tenant knows it."""
    return views.run_view(run, principal.public_id(run.thread_id))
