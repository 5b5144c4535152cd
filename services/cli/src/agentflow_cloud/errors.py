"""What stops the command, told without a traceback; each with the exit code that scripts see."""

from typing import ClassVar


class CommandError(Exception):
    """The text says what is wrong and what to do."""

    code: ClassVar = 1


class UsageError(CommandError):
    """The command line itself asks for what makes no sense."""

    code = 2


class UnansweredError(CommandError):
    """Nobody answers, or not now: the same command may do later."""

    code = 3


class EndedBadlyError(CommandError):
    """What was waited for failed or was cancelled."""

    code = 4
