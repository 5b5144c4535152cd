"""`agentflow-cloud health`: whether a service serves, what it does without, and what the doctor found."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from agentflow_cloud.admin.arguments import Commands, command
from agentflow_cloud.admin.client import health_service
from agentflow_cloud.admin.output import show_json, show_one
from agentflow_cloud.terminal.tables import say_sheet, say_table

_PARTS: Final = ("postgres", "redis", "quotas")
_FINDING: Final = ("check", "level", "found", "advice")
_AWAY: Final = 3


def add_health(commands: Commands) -> None:
    """Add `health`."""
    summary = "whether the service serves, and what it does without"
    more = (
        "To the operator's token it also tells which runs wait, what is being offboarded and what the "
        "doctor found last; without it what load balancers ask. "
        "Exit codes: 0 all of it is there, 1 a part is degraded or something is wrong, 3 it does not serve. "
        "`doctor` looks closer, at the database and Redis themselves."
    )
    command(commands, "health", _health, summary, "health\nhealth --json | jq -r .redis.state", more=more)


def _health(chosen: argparse.Namespace) -> int:
    service, is_operators = health_service()
    if not is_operators:
        ready = service.call("GET", "/health/ready")
        show_one(chosen, ready)
        return int("degraded" in ready.values())
    found = service.call("GET", "/v1/admin/health")
    show_json(found) if chosen.json else _say(found)
    states = {name: found[name]["state"] for name in _PARTS}
    if states["postgres"] != "ok":
        return _AWAY
    is_bad = any(one["level"] == "error" for one in found["findings"] or ())
    return int(is_bad or any(state != "ok" for state in states.values()))


def _say(found: Mapping[str, Any]) -> None:
    queue = found["queue"] or {}
    say_sheet(
        {
            **{name: found[name]["state"] for name in _PARTS},
            "runs waiting": queue.get("waiting"),
            "runs at work": queue.get("running"),
            "offboardings at work": found["offboarding_backlog"],
        }
    )
    findings = found["findings"]
    print()
    if findings is None:
        print("The doctor is looking: ask again in a moment.")
    else:
        say_table(_FINDING, findings)
