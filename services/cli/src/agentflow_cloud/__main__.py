"""The `agentflow-cloud` command."""

import argparse
import os
import sys

from agentflow_cloud.errors import CommandError
from agentflow_cloud.migrate import migrate
from agentflow_cloud.run import run


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="agentflow-cloud", description="Run and look after AgentFlow Cloud."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="the whole service on this machine, servers included, until Ctrl-C")
    commands.add_parser("migrate", help="bring the database of AGENTFLOW_DATABASE_URL to the newest schema")
    chosen = parser.parse_args()
    try:
        sys.exit(run() if chosen.command == "run" else _migrate())
    except CommandError as error:
        sys.exit(f"agentflow-cloud: {error}")


def _migrate() -> int:
    url = os.environ.get("AGENTFLOW_DATABASE_URL")
    if not url:
        raise CommandError(
            "Set AGENTFLOW_DATABASE_URL=postgresql+asyncpg://user:password@host:5432/database."
        )
    migrate(url)
    print("The schema is up to date.")
    return 0


if __name__ == "__main__":
    main()
