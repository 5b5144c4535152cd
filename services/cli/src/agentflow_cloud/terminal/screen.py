"""The terminal, if there is one. What draws on it takes 0.1 s to load, so it is imported late."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def is_terminal() -> bool:
    """Whether somebody looks: pipes and files get plain lines."""
    return sys.stdout.isatty()


def console() -> "Console":
    """Where to draw; colours as NO_COLOR and TERM have it, and no text is read as markup."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)
