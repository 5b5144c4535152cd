"""`agentflow-cloud thread`: a tenant's conversations, and how each came to be as it is."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from agentflow_cloud.admin.arguments import Commands, add_most, command, group, said
from agentflow_cloud.admin.client import own_service
from agentflow_cloud.admin.output import show_all, show_json, show_one
from agentflow_cloud.own.arguments import add_thread, thread_path
from agentflow_cloud.own.changes import changes
from agentflow_cloud.own.messages import message_line
from agentflow_cloud.terminal.tables import say_sheet, say_table

_STATUSES: Final = ("idle", "running", "interrupted", "error")
_THREADS: Final = ("thread_id", "status", "thread_name", "user_id", "updated_at")
_MESSAGES: Final = ("role", "text", "message_id")
_HISTORY: Final = ("seq", "parent", "source", "node", "step", "run_id", "created_at")


def add_thread_commands(commands: Commands) -> None:
    """Add `thread` and its commands."""
    thread = group(commands, "thread", "threads of the tenant whose API key is used", of_tenant=True)
    _add_list(thread)
    show = "a thread, with what it waits for"
    add_thread(command(thread, "show", _show, show, "thread show user-42"))
    messages = "what was said in a thread, oldest first"
    examples = "thread messages user-42 --most 50\nthread messages user-42 --json | jq -r '.[].message_id'"
    parser = command(thread, "messages", _messages, messages, examples)
    add_thread(parser)
    add_most(parser)
    history = "the versions of a thread, newest first: which node made each, and in which run"
    parser = command(thread, "history", _history, history, "thread history user-42 --most 20")
    add_thread(parser)
    add_most(parser)
    state = "a thread's state, now or at one of its versions"
    parser = command(thread, "state", _state, state, "thread state user-42\nthread state user-42 --at 3")
    add_thread(parser)
    parser.add_argument("--at", type=int, metavar="SEQ", help="the version, as `thread history` shows it")
    diff = "what changed from one version of a thread to another"
    examples = "thread diff user-42 3\nthread diff user-42 3 --since 1 --json"
    parser = command(thread, "diff", _diff, diff, examples)
    add_thread(parser)
    parser.add_argument("seq", type=int, metavar="SEQ", help="the version, as `thread history` shows it")
    parser.add_argument("--since", type=int, metavar="SEQ", help="an earlier one; the one before if not said")


def _add_list(commands: Commands) -> None:
    examples = (
        "thread list --most 20\nthread list --search invoice --user u-17\nthread list --json | jq length"
    )
    parser = command(commands, "list", _list, "threads, the last used first", examples)
    parser.add_argument("--search", dest="text", metavar="TEXT", help="those in which a text was said")
    parser.add_argument("--name", dest="thread_name", metavar="TEXT", help="those whose name holds a text")
    parser.add_argument("--user", dest="user_id", metavar="ID", help="those of one user")
    parser.add_argument("--status", choices=_STATUSES, help="those whose latest run stands so")
    parser.add_argument("--oldest-first", action="store_true", help="turn the order round")
    add_most(parser)


def _list(chosen: argparse.Namespace) -> None:
    body = said(chosen, "text", "thread_name", "user_id", "status")
    body["sort"] = "updated_at" if chosen.oldest_first else "-updated_at"
    show_all(chosen, _THREADS, own_service().search("/threads/search", "threads", body, most=chosen.most))


def _show(chosen: argparse.Namespace) -> None:
    show_one(chosen, own_service().call("GET", thread_path(chosen))["thread_data"]["thread"])


def _messages(chosen: argparse.Namespace) -> None:
    found = own_service().all_by_offset(thread_path(chosen, "/messages"), "messages", most=chosen.most)
    if chosen.json:
        show_json(list(found))
    else:
        say_table(_MESSAGES, map(message_line, found))


def _history(chosen: argparse.Namespace) -> None:
    found = own_service().all(thread_path(chosen, "/history"), "checkpoints", {}, most=chosen.most)
    show_all(chosen, _HISTORY, found)


def _state(chosen: argparse.Namespace) -> None:
    at = "/state" if chosen.at is None else f"/history/{chosen.at}/state"
    state = own_service().call("GET", thread_path(chosen, at))["state"] or {}
    if chosen.json:
        show_json(state)
        return
    fields = {name: value for name, value in state.items() if name != "context"}
    say_sheet({**fields, "messages": len(state.get("context", ()))})
    print()
    say_table(_MESSAGES, map(message_line, state.get("context", ())))


def _diff(chosen: argparse.Namespace) -> None:
    client = own_service()

    def state_at(seq: int | None) -> Mapping[str, Any]:
        if not seq:
            return {}
        found: Mapping[str, Any] | None = client.call("GET", thread_path(chosen, f"/history/{seq}/state"))[
            "state"
        ]
        return found or {}

    one = client.call("GET", thread_path(chosen, f"/history/{chosen.seq}"))["checkpoint"]
    before = one["parent"] if chosen.since is None else chosen.since
    found = changes(state_at(before), state_at(chosen.seq))
    show_all(chosen, ("what", "before", "after"), found)
