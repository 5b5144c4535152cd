"""`agentflow-cloud audit`: who did what."""

import argparse
from typing import Final

from agentflow_cloud.admin.arguments import Commands, add_most, command, said
from agentflow_cloud.admin.client import service
from agentflow_cloud.admin.completing import completed_by, tenant_slugs
from agentflow_cloud.admin.output import show_all

_COLUMNS: Final = ("at", "actor", "action", "target", "details", "address")


def add_audit(commands: Commands) -> None:
    """Add `audit`."""
    examples = "audit --most 20\naudit --tenant acme\naudit --json | jq -r '.[].action'"
    parser = command(commands, "audit", _audit, "the audit log, newest first", examples)
    completed_by(parser.add_argument("--tenant", help="what concerns one tenant"), tenant_slugs)
    add_most(parser)


def _audit(chosen: argparse.Namespace) -> None:
    show_all(chosen, _COLUMNS, service().all("/audit", "entries", said(chosen, "tenant"), most=chosen.most))
