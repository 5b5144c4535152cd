"""Waiting for what must hold before long."""

import time
from collections.abc import Callable
from typing import Final

# Who only looks must not take the time that what is waited for needs.
_LOOK_EVERY_S: Final = 0.02


def soon[T](holds: Callable[[], T], within_s: float = 1.5) -> T:
    """Wait until something holds that must within a second; what it gave then."""
    until = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < until, f"not within {within_s} s"
        time.sleep(_LOOK_EVERY_S)
    return found
