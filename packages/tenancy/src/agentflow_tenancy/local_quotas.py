"""Quotas counted in this process, while Redis is away or there is none: its share of the rates."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from agentflow_tenancy.allowance import Allowance
from agentflow_tenancy.plans import Limits
from agentflow_tenancy.quotas import CONCURRENT_RUNS, OF_A_REQUEST, Decision, pace

_MOST: Final = 100_000


class LocalQuotas:
    """Rates and concurrent runs, of one process among `processes` alike."""

    def __init__(self, processes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is counted yet."""
        self._processes = processes
        self._clock = clock
        self._due: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._runs: dict[str, set[str]] = {}

    @property
    def remembered(self) -> int:
        """How many rates and tenants' runs there is something to know of."""
        return len(self._due) + len(self._runs)

    def take(self, allowance: Allowance, token: str = "") -> Decision:
        """Take a request and, with a token, a run, or nothing."""
        arrivals: list[tuple[str, tuple[float, float]]] = []
        limits = zip(
            OF_A_REQUEST, allowance.keys, (allowance.pace_limits, allowance.key_limits), strict=False
        )
        for name, key, own in limits:
            due, wait_s = self._arrive(key, own)
            if wait_s > 0:
                return Decision(False, name, wait_s)
            if due is not None:
                arrivals.append((key, due))
        if token and not self._enter(allowance, token):
            return Decision(False, CONCURRENT_RUNS, 1.0)
        for key, due in arrivals:
            self._due[key] = due
            self._due.move_to_end(key)
        while len(self._due) > _MOST:
            self._due.popitem(last=False)
        return Decision(True)

    def end(self, allowance: Allowance, token: str) -> None:
        """A run is over."""
        running = self._runs.get(allowance.keys[2])
        if running is not None:
            running.discard(token)
            if not running:
                del self._runs[allowance.keys[2]]

    def _arrive(self, key: str, limits: Limits) -> tuple[tuple[float, float] | None, float]:
        """When the next one is due after this one, and how long this one is too early: see the script."""
        found = pace(limits)
        if found is None:
            return None, 0.0
        interval_us, at_once = found
        interval_s = interval_us / 1e6 * self._processes
        capacity = at_once if at_once == 0 else max(1, at_once // self._processes)
        now = self._clock()
        at, was_s = self._due.get(key, (now, interval_s))
        due = now + max(0.0, at - now) / was_s * interval_s
        wait_s = due + interval_s * (1 - capacity) - now
        return (due + interval_s, interval_s), wait_s if wait_s > _TOO_LITTLE_S else 0.0

    def _enter(self, allowance: Allowance, token: str) -> bool:
        limit = allowance.limits.concurrent_runs
        running = self._runs.get(allowance.keys[2], set())
        if limit is not None and len(running) >= max(min(limit, 1), limit // self._processes):
            return False
        running.add(token)
        self._runs[allowance.keys[2]] = running
        return True


# Of a float's rounding, not of time.
_TOO_LITTLE_S: Final = 1e-6
