"""`agentflow-cloud doctor`."""

import argparse
import asyncio
import json
from collections.abc import Sequence

from agentflow_cloud.admin.arguments import Commands, command
from agentflow_cloud.terminal.text import shown
from agentflow_doctor.findings import Finding

_MARKS = {"ok": "ok  ", "warning": "warn", "error": "BAD "}


def add_doctor(commands: Commands) -> None:
    """Add `doctor`."""
    summary = "look at a deployment, and say what to do about what is found"
    more = (
        "Looks at the deployment that the services' own variables name (AGENTFLOW_OPERATIONS_DATABASE_URL, "
        "AGENTFLOW_DATABASE_URL, AGENTFLOW_REDIS_URL, AGENTFLOW_QUOTA_REDIS_URL, pools and replicas), else "
        "at that of `make run`. It changes nothing. Exit codes: 0 nothing is wrong, 1 something is, 2 wrong "
        "usage."
    )
    examples = "doctor\ndoctor --orphans-within 120\ndoctor --json | jq '.[] | select(.level != \"ok\")'"
    parser = command(commands, "doctor", _doctor, summary, examples, more=more)
    parser.add_argument(
        "--orphans-within",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="how long a partition's look for orphan rows may take; 20 if not said",
    )


def _doctor(chosen: argparse.Namespace) -> int:
    from agentflow_cloud.doctor.deployment import deployment
    from agentflow_cloud.migrate import configuration
    from agentflow_doctor.examine import examine

    found = asyncio.run(
        examine(deployment(), configuration(), orphans_within_s=max(0.001, chosen.orphans_within))
    )
    if chosen.json:
        print(json.dumps([finding.as_data() for finding in found], indent=1))
    else:
        print(_text(found))
    return int(any(finding.level == "error" for finding in found))


def _text(found: Sequence[Finding]) -> str:
    lines = []
    for finding in found:
        lines.append(f"{_MARKS[finding.level]}  {finding.check}: {shown(finding.found)}")
        if finding.advice:
            lines.append(f"      -> {finding.advice}")
    errors, warnings = (sum(one.level == level for one in found) for level in ("error", "warning"))
    return "\n".join([*lines, "", f"{len(found)} looked at: {errors} wrong, {warnings} to look after."])
