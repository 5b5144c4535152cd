"""`agentflow-cloud restore`: what a restored database needs before it serves."""

import argparse
import asyncio
import os
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentflow_cloud.admin.arguments import Commands
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
    export = restore.add_parser(
        "export-tombstones",
        help="write the tombstones to a file, to be kept outside of the database",
        description=f"Writes every tombstone, a line of JSON each. {_SOURCE}",
    )
    export.add_argument("file", metavar="FILE", help="`-` is the output")
    export.set_defaults(do=_export)
    apply = restore.add_parser(
        "apply-tombstones",
        help="delete again what was deleted for good, and let the restored database serve",
        description=f"Nobody is served before that. Doing it again changes nothing. {_SOURCE}",
    )
    apply.add_argument("source", metavar="FILE|URL", help="as `export-tombstones` wrote it; `-` is the input")
    apply.set_defaults(do=_apply)


def _export(chosen: argparse.Namespace) -> int:
    from agentflow_tenancy.tombstones import written

    async def work(repository: "TombstoneRepository") -> str:
        return written(await repository.all())

    text = _with_repository(work)
    if chosen.file == "-":
        sys.stdout.write(text)
        return 0
    _replace(Path(chosen.file), text)
    print(f"{text.count(chr(10))} tombstones are in {chosen.file}.")
    return 0


def _apply(chosen: argparse.Namespace) -> int:
    from agentflow_tenancy.tombstones import BadTombstonesError, read_tombstones

    try:
        tombstones = read_tombstones(_read(chosen.source))
    except BadTombstonesError as error:
        raise CommandError(str(error)) from error
    done = _with_repository(lambda repository: repository.apply(tombstones))
    print(f"{done.tombstones} tombstones are applied; {done.rows} rows went.")
    if done.restore_id is None:
        print("This server was not started from a restore: it served before.")
    else:
        print(f"The restore {done.restore_id} may serve.")
    return 0


def _with_repository[T](work: Callable[["TombstoneRepository"], Awaitable[T]]) -> T:
    from agentflow.errors import AgentFlowError
    from agentflow.storage.checkpointer.pool import engine_from_url
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
            return await work(TombstoneRepository(engine))
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


def _replace(file: Path, text: str) -> None:
    """Whole or not at all: a half-written file would let something come back."""
    beside = file.with_name(f"{file.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except OSError as error:
        raise CommandError(f"{error.strerror}: {error.filename}") from error
