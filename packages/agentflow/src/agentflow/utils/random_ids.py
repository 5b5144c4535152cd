"""Ids that nothing else has: as good as unique, and no secrets.

A random UUID costs ten times as much, most of it a call of the kernel for each. Not of the `random` module's
own generator: a node that seeds it, to repeat itself, would be given ids that are there already.
"""

from __future__ import annotations

import os
import random
from typing import Final

_RANDOM: Final = random.Random()
os.register_at_fork(after_in_child=_RANDOM.seed)

random_bits: Final = _RANDOM.getrandbits


def random_hex() -> str:
    """32 hex digits."""
    return f"{random_bits(128):032x}"
