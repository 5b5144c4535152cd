"""The `agentflow-cloud` command.

What speaks to a database is imported when it is asked for: it takes a second to load.
"""

import argparse
import os
import sys

from agentflow_cloud.admin.arguments import Commands
from agentflow_cloud.admin.exports import add_export_commands
from agentflow_cloud.admin.keys import add_key_commands
from agentflow_cloud.admin.moves import add_operation_commands
from agentflow_cloud.admin.offboardings import add_offboarding_commands
from agentflow_cloud.admin.receipts import add_receipt_commands
from agentflow_cloud.admin.signing_keys import add_signing_key_commands
from agentflow_cloud.admin.tenants import add_tenant_commands
from agentflow_cloud.doctor.command import add_doctor
from agentflow_cloud.errors import CommandError, UsageError
from agentflow_cloud.restore import add_restore_commands


def main() -> None:
    """Read the command line and do it."""
    chosen = _parser().parse_args()
    try:
        code = chosen.do(chosen)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        # As in `... | head`: whoever reads has enough. What is left must not be flushed at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except CommandError as error:
        print(f"agentflow-cloud: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentflow-cloud", description="Run and look after AgentFlow Cloud."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser(
        "run", help="the whole service on this machine, servers included, until Ctrl-C"
    )
    run_parser.set_defaults(do=_run)
    migrate_parser = commands.add_parser(
        "migrate", help="bring the database of AGENTFLOW_DATABASE_URL to the newest schema"
    )
    migrate_parser.set_defaults(do=_migrate)
    _add_login(commands)
    add_doctor(commands)
    add_restore_commands(commands)
    add_tenant_commands(commands)
    add_key_commands(commands)
    add_signing_key_commands(commands)
    add_operation_commands(commands)
    add_offboarding_commands(commands)
    add_receipt_commands(commands)
    add_export_commands(commands)
    return parser


def _add_login(commands: Commands) -> None:
    parser = commands.add_parser(
        "login",
        help="a Postgres login for the API, bound by row level security",
        description="Makes a login of the role agentflow_app in the database of AGENTFLOW_DATABASE_URL, or "
        "gives an old one the password that AGENTFLOW_LOGIN_PASSWORD says.",
    )
    parser.add_argument("name", help="of the login, as in agentflow_api")
    parser.set_defaults(do=_login)


def _run(_chosen: argparse.Namespace) -> int:
    from agentflow_cloud.run import run

    return run()


def _migrate(_chosen: argparse.Namespace) -> int:
    from agentflow_cloud.migrate import migrate

    migrate(_database_url())
    print("The schema is up to date.")
    return 0


def _login(chosen: argparse.Namespace) -> int:
    from agentflow_cloud.login import login

    password = os.environ.get("AGENTFLOW_LOGIN_PASSWORD")
    if not password:
        raise CommandError("Set AGENTFLOW_LOGIN_PASSWORD to the login's password.")
    login(_database_url(), chosen.name, password)
    print(f"{chosen.name} can log in, as a member of agentflow_app.")
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
