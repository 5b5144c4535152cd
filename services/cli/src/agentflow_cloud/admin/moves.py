"""`agentflow-cloud tenant move`, `operations` and `partitions`: where tenants live, and moving them."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from agentflow_cloud.admin.arguments import Commands, add_most, add_tenant, command, group, said
from agentflow_cloud.admin.client import ServiceClient, service
from agentflow_cloud.admin.completing import completed_by, operation_ids, tenant_slugs
from agentflow_cloud.admin.output import show_all, show_json, show_one
from agentflow_cloud.errors import EndedBadlyError, UsageError
from agentflow_cloud.terminal.tables import say_table
from agentflow_cloud.terminal.watching import Stage, watched

_OPERATIONS: Final = ("operation_id", "kind", "from", "to", "state", "step", "requested_by", "created_at")
_PARTITIONS: Final = ("placement", "kind", "tenants", "size_bytes")
_MOVES: Final = ("slug", "from", "to", "reason")
_OPEN: Final = ("queued", "running")


def add_move(tenant: Commands) -> None:
    """Add `tenant move`."""
    examples = (
        "tenant move acme --to dedicated --watch\ntenant move acme --to pool\ntenant move acme --to 3 --json"
    )
    summary = "move a tenant to another partition while it works"
    parser = command(tenant, "move", _move, summary, examples)
    add_tenant(parser)
    parser.add_argument(
        "--to", required=True, metavar="PLACE", help="dedicated, pool, or the number of a pool partition"
    )
    parser.add_argument("--reason", help="for the record")
    parser.add_argument("--watch", action="store_true", help="show the progress until it has ended")


def add_operation_commands(commands: Commands) -> None:
    """Add `operation` and `partitions`."""
    operation = group(commands, "operation", "moves of tenants")
    parser = command(operation, "list", _list, "moves, newest first", "operation list --state running")
    completed_by(parser.add_argument("--tenant", help="those of one tenant"), tenant_slugs)
    parser.add_argument("--state", choices=("queued", "running", "done", "failed", "cancelled"))
    add_most(parser)
    for name, do, summary in (
        ("show", _show, "one move with its progress"),
        ("watch", _watch, "the progress of a move until it has ended"),
        ("cancel", _cancel, "have a move undone: what went goes back"),
    ):
        one = command(operation, name, do, summary, f"operation {name} 0b0c6a52-7f0e-4a0e-9a55-5a7e6d9d1f00")
        completed_by(one.add_argument("operation_id", metavar="OPERATION"), operation_ids)
    command(
        commands,
        "partitions",
        _partitions,
        "partitions with their sizes, and which tenants would move and why",
        "partitions\npartitions --json | jq .would_move",
    )


def _move(chosen: argparse.Namespace) -> None:
    client = service()
    body = {"placement": _place(chosen.to), **said(chosen, "reason")}
    operation = client.call("POST", f"/tenants/{chosen.tenant}/placement", body)["operation"]
    if chosen.watch:
        _show_end(chosen, client, operation["operation_id"])
    else:
        show_one(chosen, operation)


def _list(chosen: argparse.Namespace) -> None:
    found = service().all("/operations", "operations", said(chosen, "tenant", "state"), most=chosen.most)
    show_all(chosen, _OPERATIONS, found)


def _show(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("GET", f"/operations/{chosen.operation_id}"))


def _watch(chosen: argparse.Namespace) -> None:
    _show_end(chosen, service(), chosen.operation_id)


def _cancel(chosen: argparse.Namespace) -> None:
    show_one(chosen, service().call("POST", f"/operations/{chosen.operation_id}/cancel"))


def _partitions(chosen: argparse.Namespace) -> None:
    found = service().call("GET", "/partitions")
    if chosen.json:
        show_json(found)
        return
    say_table(_PARTITIONS, found["partitions"])
    if found["would_move"]:
        print("\nWould move:\n")
        say_table(_MOVES, found["would_move"])
    else:
        print("\nNobody would move.")


def _show_end(chosen: argparse.Namespace, client: ServiceClient, operation_id: str) -> None:
    path = f"/operations/{operation_id}"
    operation = watched(lambda: client.call("GET", path), _stage, quiet=chosen.json)
    if chosen.json:
        show_one(chosen, operation)
    if operation["state"] != "done":
        raise EndedBadlyError(f"The move ended {operation['state']}: {operation['error'] or 'as was asked'}.")


def _stage(operation: Mapping[str, Any]) -> Stage:
    progress = operation["progress"]
    moved = f"{progress['threads_moved']} threads, {progress['rows_moved']} rows"
    problem = f" ({operation['error']})" if operation["error"] else ""
    text = f"{operation['state']}, {operation['step']}: {moved}{problem}"
    return Stage(text, progress["part"], operation["state"] not in _OPEN)


def _place(text: str) -> str | int:
    if text in ("dedicated", "pool"):
        return text
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    raise UsageError("--to is dedicated, pool, or the number of a pool partition.")
