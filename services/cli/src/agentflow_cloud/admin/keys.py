"""`agentflow-cloud key`: a tenant's API keys."""

import argparse
from typing import Final

from agentflow_cloud.admin.arguments import (
    Commands,
    add_key_id,
    add_limits,
    add_scopes,
    add_tenant,
    command,
    group,
    said,
)
from agentflow_cloud.admin.client import service
from agentflow_cloud.admin.output import show_all, show_key, show_one

_COLUMNS: Final = ("key_id", "state", "name", "scopes", "expires_at", "last_used_at", "replaced_by")


def add_key_commands(commands: Commands) -> None:
    """Add `key` and its commands."""
    key = group(commands, "key", "API keys of a tenant")
    _add_create(key)
    add_tenant(command(key, "list", _list, "a tenant's keys, without their secrets", "key list acme"))
    show = command(key, "show", _show, "one key, without its secret", "key show acme 8RfZ1kq0TnYb")
    add_tenant(show)
    add_key_id(show)
    _add_rotate(key)
    revoke = command(
        key, "revoke", _revoke, "end a key for good, within a second", "key revoke acme 8RfZ1kq0TnYb"
    )
    add_tenant(revoke)
    add_key_id(revoke)


def _add_create(commands: Commands) -> None:
    examples = (
        "key create acme --name website --scope graph:invoke --scope threads:read\n"
        "key create acme --expires-at 2030-01-01T00:00:00Z --limit requests_per_minute=60\n"
        "key create acme --json | jq -r .api_key"
    )
    parser = command(commands, "create", _create, "make a key, shown this once", examples)
    add_tenant(parser)
    parser.add_argument("--name", help="for people to read")
    add_scopes(parser, "the key")
    parser.add_argument("--expires-at", metavar="TIME", help="when it ends, as 2030-01-01T00:00:00Z")
    add_limits(parser, "the key, below its tenant's")


def _add_rotate(commands: Commands) -> None:
    examples = "key rotate acme 8RfZ1kq0TnYb\nkey rotate acme 8RfZ1kq0TnYb --overlap-s 3600"
    summary = "make a new key with the rights of an old one, which ends after an overlap"
    parser = command(commands, "rotate", _rotate, summary, examples)
    add_tenant(parser)
    add_key_id(parser)
    parser.add_argument(
        "--overlap-s", type=int, metavar="SECONDS", help="that both are good; a day if not said"
    )


def _create(chosen: argparse.Namespace) -> None:
    body = said(chosen, "name", "scopes", "expires_at", "limits")
    show_key(chosen, service().call("POST", f"/tenants/{chosen.tenant}/keys", body))


def _list(chosen: argparse.Namespace) -> None:
    show_all(chosen, _COLUMNS, service().all(f"/tenants/{chosen.tenant}/keys", "keys", {}))


def _show(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("GET", f"/tenants/{chosen.tenant}/keys/{chosen.key_id}"))


def _rotate(chosen: argparse.Namespace) -> None:
    path = f"/tenants/{chosen.tenant}/keys/{chosen.key_id}/rotate"
    show_key(chosen, service().call("POST", path, said(chosen, "overlap_s")))


def _revoke(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("DELETE", f"/tenants/{chosen.tenant}/keys/{chosen.key_id}"))
