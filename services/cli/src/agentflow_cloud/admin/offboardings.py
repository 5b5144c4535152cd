"""`agentflow-cloud tenant offboard`, `tenant forget-user` and `offboarding`: what leaves."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from agentflow_cloud.admin.arguments import Commands, add_most, add_tenant, command, group, said
from agentflow_cloud.admin.client import ServiceClient, service
from agentflow_cloud.admin.completing import completed_by, offboarding_ids, tenant_slugs
from agentflow_cloud.admin.output import show_all, show_one
from agentflow_cloud.errors import EndedBadlyError
from agentflow_cloud.terminal.watching import Stage, watched

_COLUMNS: Final = ("offboarding_id", "tenant_id", "kind", "state", "step", "requested_by", "created_at")
_STATES: Final = ("suspended", "exporting", "grace", "purging", "verifying", "purged", "cancelled")
_OVER: Final = ("purged", "cancelled", "measured")
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
    of = parser.add_argument("--tenant", help="those of one tenant that is still there")
    completed_by(of, tenant_slugs)
    parser.add_argument("--state", choices=_STATES)
    add_most(parser)
    for name, do, summary in (
        ("show", _show, "one with its progress"),
        ("watch", _watch, "the progress of one until it is over"),
        ("cancel", _cancel, "take one back, until purging begins"),
        ("skip-grace", _skip, "have purging begin as soon as it can"),
    ):
        one = command(offboarding, name, do, summary, f"offboarding {name} {_ID}")
        completed_by(one.add_argument("offboarding_id", metavar="OFFBOARDING"), offboarding_ids)


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
    if chosen.watch:
        _show_end(chosen, client, found["offboarding_id"])
    else:
        show_one(chosen, found)


def _list(chosen: argparse.Namespace) -> None:
    found = service().all("/offboardings", "offboardings", said(chosen, "tenant", "state"), most=chosen.most)
    show_all(chosen, _COLUMNS, found)


def _show(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("GET", f"/offboardings/{chosen.offboarding_id}"))


def _watch(chosen: argparse.Namespace) -> None:
    _show_end(chosen, service(), chosen.offboarding_id)


def _cancel(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("POST", f"/offboardings/{chosen.offboarding_id}/cancel"))


def _skip(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("POST", f"/offboardings/{chosen.offboarding_id}/skip-grace"))


def _show_end(chosen: argparse.Namespace, client: ServiceClient, offboarding_id: str) -> None:
    path = f"/offboardings/{offboarding_id}"
    found = watched(lambda: client.call("GET", path), _stage, quiet=chosen.json)
    show_one(chosen, found)
    if found["state"] == "cancelled":
        raise EndedBadlyError("The offboarding was cancelled.")


def _stage(found: Mapping[str, Any]) -> Stage:
    progress = found["progress"]
    done, total = progress["threads_purged"], progress["threads_total"]
    of = "" if total is None else f" of {total}"
    problem = f" ({found['error']})" if found["error"] else ""
    is_over = found["state"] in _OVER
    part = 1.0 if is_over else min(1.0, done / total) if total else None
    return Stage(f"{found['state']}, {found['step']}: {done}{of} threads{problem}", part, is_over)
