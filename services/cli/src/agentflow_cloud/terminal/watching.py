"""Waiting for what takes long, with a bar of how far it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from agentflow_cloud.terminal.screen import console, is_terminal
from agentflow_cloud.terminal.text import shown

_LOOK_EVERY_S: Final = 0.5
_WIDTH: Final = 20


@dataclass(frozen=True, slots=True)
class Stage:
    """How far something is.

    Attributes:
        text: What happens, in a few words.
        part: From 0 to 1; None when nobody knows.
        is_over: Whether it has ended, well or not.
    """

    text: str
    part: float | None
    is_over: bool


type _Tell = Callable[[Stage], None]


def watched[T](ask: Callable[[], T], stage_of: Callable[[T], Stage], *, quiet: bool) -> T:
    """Ask until it is over, and show each change: a bar on a terminal, else a line.

    Args:
        ask: One round trip.
        stage_of: How far what was answered is.
        quiet: Show nothing, as scripts want it.

    Returns:
        The last answer.

    Raises:
        CommandError: As `ask`.
    """
    with _silence() if quiet else _bar() if is_terminal() else _lines() as tell:
        while True:
            found = ask()
            stage = stage_of(found)
            tell(stage)
            if stage.is_over:
                return found
            time.sleep(_LOOK_EVERY_S)


@contextmanager
def _silence() -> Iterator[_Tell]:
    yield lambda _: None


@contextmanager
def _lines() -> Iterator[_Tell]:
    told = ""

    def tell(stage: Stage) -> None:
        nonlocal told
        line = _line(stage)
        if line != told:
            print(line, flush=True)
            told = line

    yield tell


def _line(stage: Stage) -> str:
    text = shown(stage.text)
    if stage.part is None:
        return text
    done = round(_WIDTH * stage.part)
    return f"[{'#' * done}{'.' * (_WIDTH - done)}] {text}"


@contextmanager
def _bar() -> Iterator[_Tell]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

    columns = (
        SpinnerColumn(finished_text=" "),
        BarColumn(_WIDTH),
        TaskProgressColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console()) as progress:
        task = progress.add_task("", total=None)

        def tell(stage: Stage) -> None:
            total = None if stage.part is None else 1.0
            progress.update(task, description=shown(stage.text), total=total, completed=stage.part or 0)

        yield tell
