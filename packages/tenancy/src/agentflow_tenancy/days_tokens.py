"""How many tokens tenants spent today, as far as one process knows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Final

from agentflow_tenancy.quotas import DAY_S

_MOST: Final = 100_000


class DaysTokens:
    """By tenant, as its keys may have limits of their own. Nothing is known of a day that has just begun."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Nothing is known.

        Args:
            clock: Seconds of the epoch.
        """
        self._clock = clock
        self._spent: dict[uuid.UUID, tuple[int, int]] = {}

    def of(self, tenant_id: uuid.UUID) -> int | None:
        """What a tenant spent today; None when that is not known."""
        day, tokens = self._spent.get(tenant_id, (0, 0))
        return tokens if day == self._today() else None

    def learn(self, tenant_id: uuid.UUID, tokens: int) -> None:
        """Take a number for what a tenant spent today."""
        if len(self._spent) > _MOST:
            self._spent.clear()
        self._spent[tenant_id] = self._today(), tokens

    def add(self, tenant_id: uuid.UUID, tokens: int) -> None:
        """Take note of what a tenant spent besides, if anything was ever known of it."""
        if tenant_id in self._spent:
            self.learn(tenant_id, (self.of(tenant_id) or 0) + tokens)

    def until_tomorrow_s(self) -> float:
        """What is spent by the day is there again with the next one, of UTC."""
        return DAY_S - self._clock() % DAY_S

    def _today(self) -> int:
        return int(self._clock() // DAY_S)
