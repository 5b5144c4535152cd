"""`agentflow-cloud restore`: what a restored database needs before it serves."""

import argparse
import asyncio
import os
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentflow_cloud.admin.arguments import Commands, command
from agentflow_cloud.admin.output import show_json
from agentflow_cloud.errors import CommandError

if TYPE_CHECKING:
    from agentflow_tenancy.tombstones import TombstoneRepository

_TIMEOUT_S: Final = 60.0
_SOURCE: Final = "In the database of AGENTFLOW_OPERATIONS_DATABASE_URL, by the login that migrates."


def add_restore_commands(commands: Commands) -> None:
    """Add `restore` and its commands."""
    restore = commands.add_parser(
        "restore", help="what must never come back after a backup is restored", description=_SOURCE
    ).add_subparsers(dest="restore_command", metavar="COMMAND", required=True)
    summary = "write the tombstones to a file, to be kept outside of the database"
    more = f"A line of JSON each; a file that is there gets what it lacks. {_SOURCE}"
    examples = "restore export-tombstones tombstones.jsonl\nrestore export-tombstones -"
    export = command(restore, "export-tombstones", _export, summary, examples, more=more)
    export.add_argument("file", metavar="FILE", help="`-` is the output")
    summary = "delete again what was deleted for good, and let the restored database serve"
    more = f"Nobody is served before that. Doing it again changes nothing. {_SOURCE}"
    examples = "restore apply-tombstones tombstones.jsonl\nrestore apply-tombstones tombstones.jsonl --json"
    apply = command(restore, "apply-tombstones", _apply, summary, examples, more=more)
    apply.add_argument(
        "source",
        metavar="FILE|URL",
        nargs="?",
        default=os.environ.get("AGENTFLOW_TOMBSTONES"),
        help="as it was kept; `-` is the input; that of AGENTFLOW_TOMBSTONES if not said",
    )


def _export(chosen: argparse.Namespace) -> int:
    from agentflow_tenancy.tombstones import BadTombstonesError, TombstoneFile, written

    tombstones = _with_repository(lambda repository: repository.all())
    if chosen.file == "-":
        sys.stdout.write(written(tombstones))
        return 0
    file = TombstoneFile(Path(chosen.file))
    try:
        known = {one.receipt_id for one in file.read()}
        file.append(one for one in tombstones if one.receipt_id not in known)
        count = len(file.read())
        told = f"{count} tombstones are in {chosen.file}."
        show_json({"tombstones": count, "file": chosen.file}) if chosen.json else print(told)
    except BadTombstonesError as error:
        raise CommandError(f"{chosen.file} stays as it is: {error}") from error
    except OSError as error:
        raise CommandError(f"{error.strerror}: {error.filename}") from error
    return 0


def _apply(chosen: argparse.Namespace) -> int:
    from agentflow_tenancy.tombstones import BadTombstonesError, read_tombstones

    if not chosen.source:
        raise CommandError("Name the file of tombstones, or set AGENTFLOW_TOMBSTONES as the worker has it.")
    try:
        tombstones = read_tombstones(_read(chosen.source))
    except BadTombstonesError as error:
        raise CommandError(str(error)) from error
    done = _with_repository(lambda repository: repository.apply(tombstones))
    if chosen.json:
        show_json(asdict(done))
        return 0
    print(f"{done.tombstones} tombstones are applied; {done.rows} rows went.")
    if done.receipts:
        print(f"{done.receipts} receipts are there again that were issued after the backup.")
    if done.refused:
        print(f"{done.refused} receipts could not come back: the database has others of their numbers.")
    if done.unknown:
        print(f"{done.unknown} tombstones of the database were not given: is there a newer file?")
    if done.restore_id is None:
        print("This server was not started from a restore: it served before.")
    else:
        print(f"The restore {done.restore_id} may serve.")
    return 0


def _with_repository[T](work: Callable[["TombstoneRepository"], Awaitable[T]]) -> T:
    from agentflow.errors import AgentFlowError
    from agentflow.storage.checkpointer.pool import engine_from_url
    from agentflow_hosting.leaving import AnswersPlace, RunQueuePlace
    from agentflow_tenancy.tombstones import TombstoneRepository

    url = os.environ.get("AGENTFLOW_OPERATIONS_DATABASE_URL")
    if not url:
        raise CommandError(
            "Set AGENTFLOW_OPERATIONS_DATABASE_URL=postgresql+asyncpg://user:password@host:5432/database, "
            "by the login that migrates."
        )

    async def connected() -> T:
        # One tombstone may be a large tenant's.
        engine = engine_from_url(url, pool_size=1, max_overflow=0, timeout_s=3600)
        try:
            return await work(TombstoneRepository(engine, [RunQueuePlace(engine), AnswersPlace(engine)]))
        finally:
            await engine.dispose()

    try:
        return asyncio.run(connected())
    except AgentFlowError as error:
        raise CommandError(str(error)) from error


def _read(source: str) -> str:
    try:
        if source == "-":
            return sys.stdin.read()
        if source.startswith(("https://", "http://")):
            with urllib.request.urlopen(source, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme is checked
                content: bytes = answer.read()
                return content.decode()
        return Path(source).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CommandError(f"The tombstones cannot be read from {source}: {error}") from error
