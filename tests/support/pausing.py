"""Work that stands still just before its commit, as a process that is stopped there does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only


class Pause:
    """Where somebody stands still.

    Attributes:
        reached: Set when somebody stands there.
        go_on: To be set, to let go.
    """

    def __init__(self) -> None:
        """Nobody is there yet."""
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()


@contextmanager
def paused_before_commit(engine: AsyncEngine) -> Iterator[Pause]:
    """Have the first transaction of an engine, and those after it, wait before they are committed."""
    pause = Pause()

    def stand_still(_: Any) -> None:
        pause.reached.set()
        await_only(pause.go_on.wait())

    event.listen(engine.sync_engine, "commit", stand_still)
    try:
        yield pause
    finally:
        pause.go_on.set()
        event.remove(engine.sync_engine, "commit", stand_still)
