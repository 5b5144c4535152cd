"""How commands are made, and arguments that several of them take."""

import argparse
import re
import textwrap
from collections.abc import Callable
from typing import Any, Final

from agentflow_cloud.admin.completing import completed_by, key_ids, tenant_slugs

type Command = Callable[[argparse.Namespace], int | None]
type Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name

EXIT_CODES: Final = (
    "exit codes: 0 done; 1 refused, in the service's words, or something is wrong; 2 wrong usage; "
    "3 no answer, try again later; 4 what was waited for failed or was cancelled; 130 Ctrl-C"
)
_WIDTH: Final = 100
_ONE_STEP: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_OPERATORS: Final = (
    "Speaks to the service of AGENTFLOW_URL with AGENTFLOW_OPERATOR_TOKEN; without them to that of "
    "`make run`, by dev.json in AGENTFLOW_STATE_DIR."
)
_TENANTS: Final = (
    "Speaks to the service of AGENTFLOW_URL with AGENTFLOW_API_KEY, and sees what that key may see; without "
    "them to that of `make run`, by dev.json in AGENTFLOW_STATE_DIR."
)


def group(commands: Commands, name: str, summary: str, *, of_tenant: bool = False) -> Commands:
    """A command that has commands of its own, for the operator or for a tenant."""
    where = _TENANTS if of_tenant else _OPERATORS
    parser = commands.add_parser(
        name, help=summary, description=f"{_sentence(summary)} {where}", epilog=EXIT_CODES
    )
    return parser.add_subparsers(dest=f"{name}_command", metavar="COMMAND", required=True)


def command(
    commands: Commands, name: str, do: Command, summary: str, examples: str, *, more: str = ""
) -> argparse.ArgumentParser:
    """A command with --json, and with examples in its help.

    Args:
        commands: Where it belongs.
        name: Of the command.
        do: What it does; the exit code, None for 0.
        summary: A line in small letters.
        examples: Lines without the program's name.
        more: Sentences for its own help.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description="\n\n".join(textwrap.fill(text, _WIDTH) for text in (_sentence(summary), more) if text),
        epilog=f"examples:\n{_indented(examples)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print what there is to say for scripts")
    parser.set_defaults(do=do)
    return parser


def add_tenant(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """The tenant that the command is about."""
    action = parser.add_argument(
        "tenant",
        metavar="TENANT",
        type=_one_step,
        nargs="?" if optional else None,
        help="its slug or id" + ("; all if not said" if optional else ""),
    )
    completed_by(action, tenant_slugs)


def add_key_id(parser: argparse.ArgumentParser) -> None:
    """The key that the command is about."""
    action = parser.add_argument(
        "key_id", metavar="KEY_ID", type=_one_step, help="the key's id, as `key list` shows it"
    )
    completed_by(action, key_ids)


def add_limits(parser: argparse.ArgumentParser, of: str) -> None:
    """`--limit name=number`, any number of times."""
    parser.add_argument(
        "--limit",
        dest="limits",
        action="append",
        type=_limit,
        metavar="NAME=NUMBER",
        help=f"a limit of {of}; repeat it",
    )


def add_scopes(parser: argparse.ArgumentParser, of: str) -> None:
    """`--scope name`, any number of times."""
    parser.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        metavar="SCOPE",
        help=f"a scope of {of}; repeat it. All if not said",
    )


def add_most(parser: argparse.ArgumentParser) -> None:
    """`--most N`."""
    parser.add_argument("--most", type=_count, metavar="N", help="how many to show; all if not said")


def said(chosen: argparse.Namespace, *names: str) -> dict[str, Any]:
    """A request's body, of those arguments that were given."""
    found = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    if "limits" in found:
        found["limits"] = dict(found["limits"])
    return found


def _one_step(text: str) -> str:
    """A name that is one step of a path, and never another route."""
    if not _ONE_STEP.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a slug nor an id")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not (name and number.isascii() and number.isdecimal() and len(number) <= 20):
        raise argparse.ArgumentTypeError(f"{text!r} is not like threads=1000")
    return name, int(number)


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _indented(examples: str) -> str:
    return "\n".join(f"  agentflow-cloud {line}" for line in examples.splitlines())
