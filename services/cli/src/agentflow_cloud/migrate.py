"""Bringing a database to the newest schema."""

import os
import subprocess
import sys
from pathlib import Path

from agentflow_cloud.errors import CommandError

_CONFIGURATION = Path("migrations") / "alembic.ini"


def migrate(database_url: str) -> None:
    """Apply what is missing. Safe to run twice, and twice at once.

    Raises:
        CommandError: The migrations are not there, or one failed.
    """
    path = configuration()
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(path), "upgrade", "head"],
        env={**os.environ, "AGENTFLOW_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(f"The migrations failed:\n{done.stderr.strip()[-2000:]}")


def configuration() -> Path:
    """The migrations' own settings: of the tree this command came from, or of the folder it is called in.

    Raises:
        CommandError: There are none.
    """
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        if (folder / _CONFIGURATION).is_file():
            return folder / _CONFIGURATION
    raise CommandError("There is no migrations folder here: run this from the repository.")
