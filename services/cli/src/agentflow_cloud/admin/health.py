"""`agentflow-cloud health`: whether a service serves, and what it does without."""

import argparse

from agentflow_cloud.admin.arguments import Commands, command
from agentflow_cloud.admin.client import root_service
from agentflow_cloud.admin.output import show_one


def add_health(commands: Commands) -> None:
    """Add `health`."""
    summary = "whether the service serves, and what it does without"
    more = (
        "Exit codes: 0 all of it is there, 1 a part is degraded, 3 it does not serve. "
        "`doctor` looks closer, at the database and Redis themselves."
    )
    command(commands, "health", _health, summary, "health\nhealth --json | jq -r .redis", more=more)


def _health(chosen: argparse.Namespace) -> int:
    found = root_service().call("GET", "/health/ready")
    show_one(chosen, found)
    return int("degraded" in found.values())
