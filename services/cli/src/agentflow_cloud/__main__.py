"""The `agentflow-cloud` command."""

import argparse
import os
import sys

from agentflow_cloud.errors import CommandError
from agentflow_cloud.login import login
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
    login_parser = commands.add_parser(
        "login",
        help="a Postgres login for the API, bound by row level security",
        description="Makes a login of the role agentflow_app in the database of AGENTFLOW_DATABASE_URL, or "
        "gives an old one the password that AGENTFLOW_LOGIN_PASSWORD says.",
    )
    login_parser.add_argument("name", help="of the login, as in agentflow_api")
    chosen = parser.parse_args()
    try:
        sys.exit(_do(chosen))
    except CommandError as error:
        sys.exit(f"agentflow-cloud: {error}")


def _do(chosen: argparse.Namespace) -> int:
    if chosen.command == "run":
        return run()
    return _migrate() if chosen.command == "migrate" else _login(chosen.name)


def _migrate() -> int:
    migrate(_database_url())
    print("The schema is up to date.")
    return 0


def _login(name: str) -> int:
    password = os.environ.get("AGENTFLOW_LOGIN_PASSWORD")
    if not password:
        raise CommandError("Set AGENTFLOW_LOGIN_PASSWORD to the login's password.")
    login(_database_url(), name, password)
    print(f"{name} can log in, as a member of agentflow_app.")
    return 0


def _database_url() -> str:
    url = os.environ.get("AGENTFLOW_DATABASE_URL")
    if not url:
        raise CommandError(
            "Set AGENTFLOW_DATABASE_URL=postgresql+asyncpg://user:password@host:5432/database."
        )
    return url


if __name__ == "__main__":
    main()
