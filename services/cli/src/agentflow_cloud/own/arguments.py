"""Arguments of the tenant's own commands."""

import argparse
from urllib.parse import quote

from agentflow_cloud.admin.completing import completed_by, thread_ids


def add_thread(parser: argparse.ArgumentParser) -> None:
    """The thread that the command is about."""
    action = parser.add_argument("thread", metavar="THREAD", help="its id, as `thread list` shows it")
    completed_by(action, thread_ids)


def thread_path(chosen: argparse.Namespace, rest: str = "") -> str:
    """The thread's place; an id may hold anything that a path can carry."""
    return f"/threads/{quote(chosen.thread, safe='')}{rest}"
