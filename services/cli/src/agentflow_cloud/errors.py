"""What stops the command, told without a traceback."""


class CommandError(Exception):
    """The text says what is wrong and what to do."""


class UsageError(CommandError):
    """The command line itself asks for what makes no sense."""
