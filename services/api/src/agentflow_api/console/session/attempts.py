"""How often an address may be wrong at signing in."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST: Final = 20
WITHIN_S: Final = 60
_ADDRESSES: Final = 10_000


class Attempts:
    """Counts wrong credentials by address, in this process; who was wrong too often waits for a while.

    Keys are too long to be guessed: what is limited is the work that guesses make.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody was wrong yet."""
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Whole seconds until an address may try again; 0 is now."""
        ends_at, count = self._wrong.get(address, (0.0, 0))
        left = ends_at - self._clock()
        return int(left) + 1 if count >= MOST and left > 0 else 0

    def failed(self, address: str) -> None:
        """It was wrong once more."""
        now = self._clock()
        ends_at, count = self._wrong.pop(address, (0.0, 0))
        self._wrong[address] = (ends_at, count + 1) if ends_at > now else (now + WITHIN_S, 1)
        if len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)
