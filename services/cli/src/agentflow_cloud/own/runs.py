"""`agentflow-cloud runs`: what a tenant's runs do and did; `run` alone starts the whole service."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from agentflow_cloud.admin.arguments import Commands, add_most, command, group, said
from agentflow_cloud.admin.client import own_service
from agentflow_cloud.admin.output import show_all, show_json, show_one
from agentflow_cloud.errors import CommandError, EndedBadlyError
from agentflow_cloud.own.arguments import add_thread, thread_path
from agentflow_cloud.own.waterfall import waterfall
from agentflow_cloud.terminal.tables import say_sheet, say_table
from agentflow_cloud.terminal.watching import Stage, watched

_COLUMNS: Final = ("run_id", "thread_id", "agent", "status", "created_at", "finished_at", "error")
_TRACE: Final = ("span", "start_ms", "duration_ms", "status", "when")
_STATUSES: Final = ("pending", "running", "success", "error", "interrupted", "cancelled")
_OPEN: Final = ("pending", "running")
_ID: Final = "0198f3c2-7a51-7c3e-9d43-1f0e5a6b7c8d"


def add_runs_commands(commands: Commands) -> None:
    """Add `runs` and its commands."""
    runs = group(commands, "runs", "runs of the tenant whose API key is used", of_tenant=True)
    examples = "runs list --most 20\nruns list --status error\nruns list --thread user-42 --json"
    parser = command(runs, "list", _list, "background runs and streams, newest first", examples)
    parser.add_argument("--thread", metavar="ID", help="those of one thread")
    parser.add_argument("--status", choices=_STATUSES)
    add_most(parser)
    for name, do, summary in (
        ("show", _show, "one run as it stands"),
        ("watch", _watch, "one run until it is over"),
        ("cancel", _cancel, "stop a run at its next step"),
    ):
        parser = command(runs, name, do, summary, f"runs {name} user-42 {_ID}")
        add_thread(parser)
        parser.add_argument("run", metavar="RUN", help="its id, as `runs list` shows it")
    examples = f"runs trace user-42\nruns trace user-42 {_ID} --json | jq .usage"
    summary = "what a run did, span by span, with its tokens; the latest if none is named"
    parser = command(runs, "trace", _trace, summary, examples)
    add_thread(parser)
    parser.add_argument("run", metavar="RUN", nargs="?", help="its id")


def _list(chosen: argparse.Namespace) -> None:
    path = thread_path(chosen, "/runs") if chosen.thread else "/runs"
    found = own_service().all(path, "runs", said(chosen, "status"), most=chosen.most)
    show_all(chosen, _COLUMNS, found)


def _show(chosen: argparse.Namespace) -> None:
    show_one(chosen, own_service().call("GET", _path(chosen))["run"])


def _watch(chosen: argparse.Namespace) -> None:
    client = own_service()
    run = watched(lambda: client.call("GET", _path(chosen))["run"], _stage, quiet=chosen.json)
    show_one(chosen, run)
    if run["status"] in ("error", "cancelled"):
        raise EndedBadlyError(f"The run ended with {run['status']}.")


def _cancel(chosen: argparse.Namespace) -> None:
    show_one(chosen, own_service().call("POST", f"{_path(chosen)}/cancel", {})["run"])


def _trace(chosen: argparse.Namespace) -> None:
    asked = f"?{urlencode({'run_id': chosen.run})}" if chosen.run else ""
    found = own_service().call("GET", f"/observability/{quote(chosen.thread, safe='')}{asked}")
    run = found["run"]
    if run is None:
        raise CommandError("There is no such run, or none at all.")
    if chosen.json:
        show_json(run)
        return
    lists = ("spans", "events")
    say_sheet({name: value for name, value in run.items() if name not in lists})
    print()
    _say_spans(run["spans"])


def _say_spans(spans: Iterable[Mapping[str, Any]]) -> None:
    say_table(_TRACE, waterfall(list(spans)))


def _stage(run: Mapping[str, Any]) -> Stage:
    return Stage(f"{run['status']}, {run['chunks']} chunks", None, run["status"] not in _OPEN)


def _path(chosen: argparse.Namespace) -> str:
    return thread_path(chosen, f"/runs/{quote(chosen.run, safe='')}")
