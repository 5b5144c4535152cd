"""`agentflow-cloud tenant`: making, listing, changing and suspending tenants."""

import argparse
from datetime import UTC, datetime
from typing import Any, Final

from agentflow_cloud.admin.arguments import (
    Commands,
    add_limits,
    add_most,
    add_scopes,
    add_tenant,
    command,
    group,
    said,
)
from agentflow_cloud.admin.client import service
from agentflow_cloud.admin.moves import add_move
from agentflow_cloud.admin.offboardings import add_leaving
from agentflow_cloud.admin.output import show_all, show_json, show_key, show_one
from agentflow_cloud.admin.quotas import say_quotas
from agentflow_cloud.admin.retention import add_retention
from agentflow_cloud.errors import UsageError
from agentflow_cloud.terminal.tables import say_sheet

_COLUMNS: Final = ("slug", "state", "plan", "placement", "name", "created_at")
_FILTERS: Final = ("state", "plan", "placement", "search")
_CHANGES: Final = ("name", "plan", "limits", "agents", "default_agent", "retention_days", "keep_checkpoints")
_NULLED: Final = {
    "no_limits": "limits",
    "all_agents": "agents",
    "keep_forever": "retention_days",
    "keep_all_checkpoints": "keep_checkpoints",
}


def add_tenant_commands(commands: Commands) -> None:
    """Add `tenant` and its commands."""
    tenant = group(commands, "tenant", "tenants of a running service")
    _add_create(tenant)
    _add_list(tenant)
    show = "all that is set for a tenant, and what it used beside its quotas"
    add_tenant(command(tenant, "show", _show, show, "tenant show acme\ntenant show acme --json | jq .usage"))
    _add_update(tenant)
    suspend = "refuse all of a tenant's keys within a second; its data stays"
    add_tenant(command(tenant, "suspend", _suspend, suspend, "tenant suspend acme"))
    resume = "take a suspended tenant's keys again"
    add_tenant(command(tenant, "resume", _resume, resume, "tenant resume acme"))
    add_retention(tenant)
    add_move(tenant)
    add_leaving(tenant)


def _add_create(commands: Commands) -> None:
    examples = (
        "tenant create acme\n"
        'tenant create acme --name "Acme Inc." --plan free --limit threads=1000 --retention-days 30\n'
        "tenant create acme --json | jq -r .api_key"
    )
    parser = command(
        commands, "create", _create, "make a tenant and its first key, shown this once", examples
    )
    parser.add_argument("slug", metavar="SLUG", help="its short name: a-z, 0-9 and -")
    _add_values(parser)
    add_scopes(parser, "the first key")


def _add_list(commands: Commands) -> None:
    examples = "tenant list\ntenant list --state suspended\ntenant list --plan free --search acme --json"
    parser = command(commands, "list", _list, "tenants by slug", examples)
    parser.add_argument("--state", choices=("active", "suspended", "offboarding"))
    parser.add_argument("--plan", help="those of one plan")
    parser.add_argument("--placement", type=int, help="those whose rows live in one partition")
    parser.add_argument("--search", metavar="TEXT", help="those whose slug or name holds a text")
    add_most(parser)


def _add_update(commands: Commands) -> None:
    examples = (
        "tenant update acme --plan standard\n"
        "tenant update acme --limit threads=50 --limit tokens_per_day=100000\n"
        "tenant update acme --no-limits --keep-forever"
    )
    parser = command(
        commands,
        "update",
        _update,
        "change a tenant; what is not said stays, --limit and --agent replace all it had",
        examples,
    )
    add_tenant(parser)
    _add_values(parser)
    parser.add_argument("--no-limits", action="store_true", help="take its own limits away: its plan's hold")
    parser.add_argument("--all-agents", action="store_true", help="let it use every hosted agent")
    parser.add_argument("--keep-forever", action="store_true", help="take its own retention away")
    parser.add_argument("--keep-all-checkpoints", action="store_true", help="keep every version of a thread")


def _add_values(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="for people to read")
    parser.add_argument("--plan", help="whose limits hold where it has none of its own")
    add_limits(parser, "its own, in place of its plan's")
    parser.add_argument(
        "--agent", dest="agents", action="append", metavar="AGENT", help="an agent it may use; repeat it"
    )
    parser.add_argument("--default-agent", metavar="AGENT", help="the one it gets if it names none")
    parser.add_argument("--retention-days", type=int, metavar="DAYS", help="until an idle thread is deleted")
    parser.add_argument(
        "--keep-checkpoints", type=int, metavar="N", help="versions of an idle thread to keep"
    )


def _create(chosen: argparse.Namespace) -> None:
    show_key(chosen, service().call("POST", "/tenants", said(chosen, "slug", *_CHANGES, "scopes")))


def _list(chosen: argparse.Namespace) -> None:
    show_all(
        chosen, _COLUMNS, service().all("/tenants", "tenants", said(chosen, *_FILTERS), most=chosen.most)
    )


def _show(chosen: argparse.Namespace) -> None:
    client = service()
    tenant = client.call("GET", f"/tenants/{chosen.tenant}")
    month = datetime.now(UTC).strftime("%Y-%m-01")
    usage = client.call("GET", f"/tenants/{chosen.tenant}/usage?from={month}")
    if chosen.json:
        told = {"this_month": usage["total"], "today": usage["today"], "kept": usage["kept"]}
        show_json({**tenant, "usage": told})
        return
    say_sheet({**tenant, "used this month": usage["total"]})
    print()
    say_quotas(usage)


def _update(chosen: argparse.Namespace) -> None:
    changes = _changes(chosen)
    show_one(chosen, service().call("PATCH", f"/tenants/{chosen.tenant}", changes))


def _suspend(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("POST", f"/tenants/{chosen.tenant}/suspend"))


def _resume(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("POST", f"/tenants/{chosen.tenant}/resume"))


def _changes(chosen: argparse.Namespace) -> dict[str, Any]:
    changes = said(chosen, *_CHANGES)
    for flag, field in _NULLED.items():
        if getattr(chosen, flag):
            if field in changes:
                raise UsageError(f"--{flag.replace('_', '-')} takes {field} away: give no other with it.")
            changes[field] = None
    if not changes:
        raise UsageError("Say what to change; `agentflow-cloud tenant update --help` shows what there is.")
    return changes
