"""Waiting for what must hold before long."""

import time
from collections.abc import Callable


def soon(holds: Callable[[], bool], within_s: float = 1.5) -> None:
    """Wait until something holds that must within a second."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "not within a second"
