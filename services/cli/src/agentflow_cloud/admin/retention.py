"""`agentflow-cloud tenant retention`: what is past its time, before it is deleted."""

import argparse
from typing import Any, Final
from urllib.parse import urlencode

from agentflow_cloud.admin.arguments import Commands, add_tenant, command, said
from agentflow_cloud.admin.client import service
from agentflow_cloud.admin.output import show_json
from agentflow_cloud.terminal.tables import say_sheet

_ASKED: Final = ("retention_days", "keep_checkpoints")


def add_retention(tenant: Commands) -> None:
    """Add `tenant retention`."""
    examples = (
        "tenant retention acme\n"
        "tenant retention acme --retention-days 30\n"
        "tenant retention acme --keep-checkpoints 50 --json"
    )
    summary = "what a tenant's retention would delete now: a dry run, nothing is deleted"
    parser = command(tenant, "retention", _retention, summary, examples)
    add_tenant(parser)
    parser.add_argument("--retention-days", type=int, metavar="DAYS", help="ask about another retention")
    parser.add_argument(
        "--keep-checkpoints", type=int, metavar="N", help="ask about keeping so many versions"
    )


def _retention(chosen: argparse.Namespace) -> None:
    asked = urlencode(said(chosen, *_ASKED))
    found = service().call("GET", f"/tenants/{chosen.tenant}/retention{'?' if asked else ''}{asked}")
    show_json(found) if chosen.json else say_sheet(_flat(found))


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """One line a figure, inner ones behind the name of what they are of."""
    lines: dict[str, Any] = {}
    for name, value in found.items():
        inner = value.items() if isinstance(value, dict) else ()
        lines |= {f"{name} {what}": figure for what, figure in inner} if inner else {name: value}
    return lines
