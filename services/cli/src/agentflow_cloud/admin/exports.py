"""`agentflow-cloud export` and `import`: a tenant's threads as an archive, and back."""

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agentflow_cloud.admin.arguments import Commands, add_tenant, command
from agentflow_cloud.admin.client import ServiceClient, service
from agentflow_cloud.admin.output import show_one
from agentflow_cloud.errors import CommandError, EndedBadlyError
from agentflow_cloud.terminal.watching import Stage, watched

_OPEN: Final = ("queued", "running")


def add_export_commands(commands: Commands) -> None:
    """Add `export` and `import`."""
    summary = "write a tenant's threads to a file"
    examples = (
        "export acme -o acme.tar --watch\n"
        "export acme --user alex -o alex.tar\n"
        "export acme --thread t-42 -o one.tar"
    )
    parser = command(commands, "export", _export, summary, examples)
    add_tenant(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the archive to write"
    )
    narrowed = parser.add_mutually_exclusive_group()
    narrowed.add_argument("--thread", dest="thread_id", metavar="ID", help="only this thread")
    narrowed.add_argument("--user", dest="user_id", metavar="ID", help="only the threads of this user")
    _add_watch(parser)
    summary = "bring an archive's threads into a tenant; sent again, one that was cut off goes on"
    parser = command(commands, "import", _import, summary, "import beta acme.tar")
    add_tenant(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="an archive that an export wrote")
    _add_watch(parser)


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="show the progress until it has ended")


def _export(chosen: argparse.Namespace) -> None:
    client = service()
    asked = {name: getattr(chosen, name) for name in ("thread_id", "user_id") if getattr(chosen, name)}
    at = f"/tenants/{chosen.tenant}/exports"
    export = client.call("POST", at, asked)["export"]
    at = f"{at}/{export['export_id']}"
    done = _awaited(chosen, client, at)
    link = client.call("POST", f"{at}/link", {})
    part = chosen.output.with_name(f"{chosen.output.name}.part")
    try:
        client.download(link["url"], link["size_bytes"], part)
        with part.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != link["sha256"]:
                raise CommandError("What was downloaded is not what was exported: try again.")
        part.replace(chosen.output)
    except OSError as error:
        raise CommandError(f"{error.strerror}: {error.filename}") from error
    show_one(chosen, done)


def _import(chosen: argparse.Namespace) -> None:
    client = service()
    at = f"/tenants/{chosen.tenant}/imports"
    try:
        brought = client.upload(at, chosen.file)["import"]
    except OSError as error:
        raise CommandError(f"{error.strerror}: {error.filename}") from error
    show_one(chosen, _awaited(chosen, client, f"{at}/{brought['import_id']}"))


def _awaited(chosen: argparse.Namespace, client: ServiceClient, path: str) -> Mapping[str, Any]:
    quiet = chosen.json or not chosen.watch
    done: Mapping[str, Any] = watched(lambda: client.call("GET", path), _stage, quiet=quiet)
    if done["state"] != "done":
        why = "" if done["error"] is None else f": {done['error']['message']}"
        raise EndedBadlyError(f"It ended {done['state']}{why}")
    return done


def _stage(found: Mapping[str, Any]) -> Stage:
    progress = found["progress"]
    of = "" if progress["threads_total"] is None else f" of {progress['threads_total']}"
    text = f"{found['state']}: {progress['threads_done']}{of} threads"
    return Stage(text, progress["part"], found["state"] not in _OPEN)
