"""`agentflow-cloud export` and `import`: a tenant's threads as an archive, and back."""

import argparse
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agentflow_cloud.admin.arguments import Commands, add_tenant, command
from agentflow_cloud.admin.client import OperatorClient, service
from agentflow_cloud.admin.output import show_one
from agentflow_cloud.errors import CommandError

_LOOK_EVERY_S: Final = 0.3
_OPEN: Final = ("queued", "running")


def add_export_commands(commands: Commands) -> None:
    """Add `export` and `import`."""
    summary = "write a tenant's threads to a file"
    examples = (
        "export acme -o acme.tar\nexport acme --user alex -o alex.tar\nexport acme --thread t-42 -o one.tar"
    )
    parser = command(commands, "export", _export, summary, examples)
    add_tenant(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the archive to write"
    )
    narrowed = parser.add_mutually_exclusive_group()
    narrowed.add_argument("--thread", dest="thread_id", metavar="ID", help="only this thread")
    narrowed.add_argument("--user", dest="user_id", metavar="ID", help="only the threads of this user")
    summary = "bring an archive's threads into a tenant; sent again, one that was cut off goes on"
    parser = command(commands, "import", _import, summary, "import beta acme.tar")
    add_tenant(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="an archive that an export wrote")


def _export(chosen: argparse.Namespace) -> None:
    client = service()
    asked = {name: getattr(chosen, name) for name in ("thread_id", "user_id") if getattr(chosen, name)}
    at = f"/tenants/{chosen.tenant}/exports"
    export = client.call("POST", at, asked)["export"]
    at = f"{at}/{export['export_id']}"
    done = _awaited(client, at)
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
    show_one(chosen, _awaited(client, f"{at}/{brought['import_id']}"))


def _awaited(client: OperatorClient, path: str) -> Mapping[str, Any]:
    while (found := client.call("GET", path))["state"] in _OPEN:
        time.sleep(_LOOK_EVERY_S)
    if found["state"] != "done":
        why = "" if found["error"] is None else f": {found['error']['message']}"
        raise CommandError(f"It ended {found['state']}{why}")
    done: Mapping[str, Any] = found
    return done
