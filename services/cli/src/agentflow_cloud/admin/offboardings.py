"""`agentflow-cloud tenant offboard`, `tenant forget-user` and `offboarding`: what leaves."""

import argparse
import time
from collections.abc import Mapping
from typing import Any, Final

from agentflow_cloud.admin.arguments import Commands, add_tenant, command, group, said
from agentflow_cloud.admin.client import OperatorClient, service
from agentflow_cloud.admin.output import show_all, show_one

_COLUMNS: Final = ("offboarding_id", "tenant_id", "kind", "state", "step", "requested_by", "created_at")
_STATES: Final = ("suspended", "exporting", "grace", "purging", "verifying", "purged", "cancelled")
_OVER: Final = ("purged", "cancelled", "measured")
_LOOK_EVERY_S: Final = 0.5
_ID: Final = "0b0c6a52-7f0e-4a0e-9a55-5a7e6d9d1f00"


def add_leaving(tenant: Commands) -> None:
    """Add `tenant offboard` and `tenant forget-user`."""
    summary = "delete a tenant with everything it has, with a signed receipt"
    examples = "tenant offboard acme --dry-run --watch\ntenant offboard acme --grace-s 0 --watch"
    parser = command(tenant, "offboard", _offboard, summary, examples)
    add_tenant(parser)
    parser.add_argument("--export", action="store_true", help="keep an archive before anything goes")
    _add_when(parser, "a week")
    summary = "delete what one user of a tenant left, with a signed receipt"
    examples = "tenant forget-user acme u-17 --dry-run --watch\ntenant forget-user acme u-17 --watch"
    parser = command(tenant, "forget-user", _forget, summary, examples)
    add_tenant(parser)
    parser.add_argument("user_id", metavar="USER", help="the user's id, as the tenant's threads have it")
    _add_when(parser, "none")


def add_offboarding_commands(commands: Commands) -> None:
    """Add `offboarding`."""
    offboarding = group(commands, "offboarding", "tenants that leave, and users who are forgotten")
    examples = "offboarding list --state grace"
    parser = command(offboarding, "list", _list, "offboardings, newest first", examples)
    parser.add_argument("--tenant", help="those of one tenant that is still there")
    parser.add_argument("--state", choices=_STATES)
    for name, do, summary in (
        ("show", _show, "one with its progress"),
        ("watch", _watch, "the progress of one until it is over"),
        ("cancel", _cancel, "take one back, until purging begins"),
        ("skip-grace", _skip, "have purging begin as soon as it can"),
    ):
        one = command(offboarding, name, do, summary, f"offboarding {name} {_ID}")
        one.add_argument("offboarding_id", metavar="OFFBOARDING")


def _add_when(parser: argparse.ArgumentParser, usual: str) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only count what would go")
    parser.add_argument(
        "--grace-s", type=int, metavar="SECONDS", help=f"how long it can be taken back; {usual} if not said"
    )
    parser.add_argument("--watch", action="store_true", help="show the progress until it is over")


def _offboard(chosen: argparse.Namespace) -> None:
    _asked(chosen, "offboarding", {"export": chosen.export})


def _forget(chosen: argparse.Namespace) -> None:
    _asked(chosen, "forgotten-users", {"user_id": chosen.user_id})


def _asked(chosen: argparse.Namespace, route: str, body: Mapping[str, Any]) -> None:
    client = service()
    whole = {**body, "dry_run": chosen.dry_run, **said(chosen, "grace_s")}
    found = client.call("POST", f"/tenants/{chosen.tenant}/{route}", whole)["offboarding"]
    _show_end(chosen, client, found["offboarding_id"]) if chosen.watch else show_one(chosen, found)


def _list(chosen: argparse.Namespace) -> None:
    found = service().all("/offboardings", "offboardings", said(chosen, "tenant", "state"))
    show_all(chosen, _COLUMNS, found)


def _show(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("GET", f"/offboardings/{chosen.offboarding_id}"))


def _watch(chosen: argparse.Namespace) -> None:
    _show_end(chosen, service(), chosen.offboarding_id)


def _cancel(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("POST", f"/offboardings/{chosen.offboarding_id}/cancel"))


def _skip(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("POST", f"/offboardings/{chosen.offboarding_id}/skip-grace"))


def _show_end(chosen: argparse.Namespace, client: OperatorClient, offboarding_id: str) -> None:
    told = ""
    while True:
        found = client.call("GET", f"/offboardings/{offboarding_id}")
        line = _progress(found)
        if line != told and not chosen.json:
            print(line, flush=True)
            told = line
        if found["state"] in _OVER:
            break
        time.sleep(_LOOK_EVERY_S)
    show_one(chosen, found)


def _progress(found: Mapping[str, Any]) -> str:
    progress = found["progress"]
    of = "" if progress["threads_total"] is None else f" of {progress['threads_total']}"
    problem = f" ({found['error']})" if found["error"] else ""
    return f"{found['state']}, {found['step']}: {progress['threads_purged']}{of} threads{problem}"
