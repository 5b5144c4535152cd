"""The `agentflow-cloud` command.

What speaks to a database is imported when it is asked for: it takes a second to load.
"""

import argparse
import os
import sys
from typing import Final

from agentflow_cloud.admin.arguments import EXIT_CODES, Commands, command
from agentflow_cloud.admin.audit import add_audit
from agentflow_cloud.admin.exports import add_export_commands
from agentflow_cloud.admin.health import add_health
from agentflow_cloud.admin.keys import add_key_commands
from agentflow_cloud.admin.moves import add_operation_commands
from agentflow_cloud.admin.offboardings import add_offboarding_commands
from agentflow_cloud.admin.output import show_json
from agentflow_cloud.admin.receipts import add_receipt_commands
from agentflow_cloud.admin.signing_keys import add_signing_key_commands
from agentflow_cloud.admin.tenants import add_tenant_commands
from agentflow_cloud.admin.usage import add_usage
from agentflow_cloud.completion import add_completion
from agentflow_cloud.doctor.command import add_doctor
from agentflow_cloud.errors import CommandError
from agentflow_cloud.own.runs import add_runs_commands
from agentflow_cloud.own.threads import add_thread_commands
from agentflow_cloud.restore import add_restore_commands

_INTERRUPTED: Final = 130


def main() -> None:
    """Read the command line and do it."""
    parser = command_parser()
    if "_ARGCOMPLETE" in os.environ:
        from argcomplete import autocomplete

        autocomplete(parser)
    chosen = parser.parse_args()
    try:
        code = chosen.do(chosen)
        sys.stdout.flush()
        sys.exit(code or 0)
    except BrokenPipeError:
        # As in `... | head`: whoever reads has enough. What is left must not be flushed at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except CommandError as error:
        sys.stdout.flush()
        print(f"agentflow-cloud: {error}", file=sys.stderr)
        sys.exit(error.code)


def command_parser() -> argparse.ArgumentParser:
    """All commands; nothing that they need is loaded."""
    parser = argparse.ArgumentParser(
        prog="agentflow-cloud",
        description="Run and look after AgentFlow Cloud; `agentflow-cloud COMMAND --help` shows examples.",
        epilog=EXIT_CODES,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_own(commands)
    add_health(commands)
    add_doctor(commands)
    add_tenant_commands(commands)
    add_key_commands(commands)
    add_usage(commands)
    add_audit(commands)
    add_operation_commands(commands)
    add_offboarding_commands(commands)
    add_receipt_commands(commands)
    add_export_commands(commands)
    add_thread_commands(commands)
    add_runs_commands(commands)
    add_signing_key_commands(commands)
    add_restore_commands(commands)
    add_completion(commands)
    return parser


def _add_own(commands: Commands) -> None:
    summary = "the whole service on this machine, servers included, until Ctrl-C"
    more = "Under --json one line says when it runs, and where a program finds how to reach it."
    command(commands, "run", _run, summary, "run\nrun --json", more=more)
    summary = "bring the database of AGENTFLOW_DATABASE_URL to the newest schema"
    command(commands, "migrate", _migrate, summary, "migrate")
    summary = "a Postgres login for the API, bound by row level security"
    more = (
        "Makes a login of the role agentflow_app in the database of AGENTFLOW_DATABASE_URL, or gives an old "
        "one the password that AGENTFLOW_LOGIN_PASSWORD says."
    )
    parser = command(commands, "login", _login, summary, "login agentflow_api", more=more)
    parser.add_argument("name", help="of the login, as in agentflow_api")


def _run(chosen: argparse.Namespace) -> int:
    from agentflow_cloud.run import run

    return run(as_json=chosen.json)


def _migrate(chosen: argparse.Namespace) -> None:
    from agentflow_cloud.migrate import migrate

    migrate(_database_url())
    show_json({"migrated": True}) if chosen.json else print("The schema is up to date.")


def _login(chosen: argparse.Namespace) -> None:
    from agentflow_cloud.login import login

    password = os.environ.get("AGENTFLOW_LOGIN_PASSWORD")
    if not password:
        raise CommandError("Set AGENTFLOW_LOGIN_PASSWORD to the login's password.")
    login(_database_url(), chosen.name, password)
    if chosen.json:
        show_json({"login": chosen.name, "member_of": "agentflow_app"})
    else:
        print(f"{chosen.name} can log in, as a member of agentflow_app.")


def _database_url() -> str:
    url = os.environ.get("AGENTFLOW_DATABASE_URL")
    if not url:
        raise CommandError(
            "Set AGENTFLOW_DATABASE_URL=postgresql+asyncpg://user:password@host:5432/database."
        )
    return url


if __name__ == "__main__":
    main()
