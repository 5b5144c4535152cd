"""Arguments that several of the operator's commands take."""

import argparse
import re
from collections.abc import Callable
from typing import Any, Final

type Command = Callable[[argparse.Namespace], None]
type Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name

_ONE_STEP: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_WHERE: Final = (
    "Speaks to the service of AGENTFLOW_URL with AGENTFLOW_OPERATOR_TOKEN; without them to that of "
    "`make run`, by dev.json in AGENTFLOW_STATE_DIR. "
    "Exit codes: 0 done, 1 refused or no answer, 2 wrong usage."
)


def group(commands: Commands, name: str, summary: str) -> Commands:
    """A command that has commands of its own."""
    parser = commands.add_parser(name, help=summary, description=f"{_sentence(summary)} {_WHERE}")
    return parser.add_subparsers(dest=f"{name}_command", metavar="COMMAND", required=True)


def command(
    commands: Commands, name: str, do: Command, summary: str, examples: str
) -> argparse.ArgumentParser:
    """A command that asks the service for something; with --json, and examples in its help."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=_sentence(summary),
        epilog=f"examples:\n{_indented(examples)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print what the service answered, for scripts")
    parser.set_defaults(do=lambda chosen: _run(do, chosen))
    return parser


def add_tenant(parser: argparse.ArgumentParser) -> None:
    """The tenant that the command is about."""
    parser.add_argument("tenant", metavar="TENANT", type=_one_step, help="its slug or id")


def add_key_id(parser: argparse.ArgumentParser) -> None:
    """The key that the command is about."""
    parser.add_argument(
        "key_id", metavar="KEY_ID", type=_one_step, help="the key's id, as `key list` shows it"
    )


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


def said(chosen: argparse.Namespace, *names: str) -> dict[str, Any]:
    """A request's body, of those arguments that were given."""
    found = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    if "limits" in found:
        found["limits"] = dict(found["limits"])
    return found


def _run(do: Command, chosen: argparse.Namespace) -> int:
    do(chosen)
    return 0


def _one_step(text: str) -> str:
    """A name that is one step of a path, and never another route."""
    if not _ONE_STEP.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a slug nor an id")
    return text


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not (name and number.isascii() and number.isdecimal() and len(number) <= 20):
        raise argparse.ArgumentTypeError(f"{text!r} is not like threads=1000")
    return name, int(number)


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _indented(examples: str) -> str:
    return "\n".join(f"  agentflow-cloud {line}" for line in examples.splitlines())
