"""What quotas are asked and what they answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from agentflow_tenancy.plans import Limits

REQUESTS: Final = "requests"
KEY_REQUESTS: Final = "key-requests"
CONCURRENT_RUNS: Final = "concurrent-runs"
QUEUED_RUNS: Final = "queued-runs"
THREADS: Final = "threads"
STORED_BYTES: Final = "stored-bytes"
TOKENS: Final = "tokens-per-day"
CHECKPOINTS: Final = "checkpoints-per-day"

MINUTE_S: Final = 60
DAY_S: Final = 24 * 3600

Unit = Literal["requests", "concurrent-requests", "content-bytes"]

# The scripts' order.
OF_A_REQUEST: Final = (REQUESTS, KEY_REQUESTS)
OF_A_RUN: Final = (CONCURRENT_RUNS, THREADS, STORED_BYTES, TOKENS, CHECKPOINTS)


@dataclass(frozen=True, slots=True)
class Standing:
    """One quota after a decision.

    Attributes:
        limit: How much there is in a window.
        window_s: Length of the window; None for what is held rather than spent.
        remaining: How much is left.
        reset_s: Until all of it is there again; None for what is held.
        unit: What is counted, in the words of the RateLimit header fields; None where they have none.
    """

    name: str
    limit: int
    window_s: int | None
    remaining: int
    reset_s: int | None
    unit: Unit | None = None


@dataclass(slots=True)
class Decision:
    """Whether something may go on.

    Attributes:
        quota: Which one refused; None when none did.
        retry_after_s: When to ask again; 0 when allowed.
        tokens_left: For today; None when they are not limited, or nobody asked.
        made: Of the standings: once somebody wants to see them.
    """

    allowed: bool
    quota: str | None = None
    retry_after_s: float = 0.0
    tokens_left: int | None = None
    made: Callable[[], tuple[Standing, ...]] | None = None
    _standings: tuple[Standing, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def retry_after_whole_s(self) -> int:
        """`retry_after_s` for people and header fields: not less, and at least a second."""
        return max(1, math.ceil(self.retry_after_s))

    @property
    def standings(self) -> tuple[Standing, ...]:
        """The quotas that hold for who asked, in their order."""
        if self._standings is None:
            self._standings = () if self.made is None else self.made()
        return self._standings

    def standing(self, name: str) -> Standing | None:
        """One quota's; None when there is no limit."""
        return next((standing for standing in self.standings if standing.name == name), None)


@dataclass(frozen=True, slots=True)
class Used:
    """What a tenant keeps, and what it spent today: the truth, from Postgres.

    Attributes:
        day: Number of the UTC day that tokens and checkpoints are of.
    """

    threads: int
    stored_bytes: int
    day: int
    tokens: int
    checkpoints: int


def window_of(name: str) -> int | None:
    """Length of a quota's window in seconds."""
    if name in OF_A_REQUEST:
        return MINUTE_S
    return DAY_S if name in (TOKENS, CHECKPOINTS) else None


def limit_of(name: str, limits: Limits) -> int | None:
    """A quota's limit."""
    return {
        REQUESTS: limits.requests_per_minute,
        KEY_REQUESTS: limits.requests_per_minute,
        CONCURRENT_RUNS: limits.concurrent_runs,
        THREADS: limits.threads,
        STORED_BYTES: limits.stored_bytes,
        TOKENS: limits.tokens_per_day,
        CHECKPOINTS: limits.checkpoints_per_day,
    }[name]


UNITS: Final[dict[str, Unit]] = {
    REQUESTS: "requests",
    KEY_REQUESTS: "requests",
    CONCURRENT_RUNS: "concurrent-requests",
    STORED_BYTES: "content-bytes",
}


def pace(limits: Limits) -> tuple[float, int] | None:
    """Microseconds a request and how many may come at once; None without a limit."""
    per_minute = limits.requests_per_minute
    if per_minute is None:
        return None
    if per_minute == 0:
        return MINUTE_S * 1e6, 0
    at_once = per_minute if limits.burst is None else max(1, limits.burst)
    return MINUTE_S * 1e6 / per_minute, at_once


def overspent(limits: Limits, used: Used, *, may_make_thread: bool) -> str | None:
    """The quota that leaves no room for a further run, if one does."""
    spent = {
        THREADS: used.threads if may_make_thread else -1,
        STORED_BYTES: used.stored_bytes,
        TOKENS: used.tokens,
        CHECKPOINTS: used.checkpoints,
    }
    for name, amount in spent.items():
        limit = limit_of(name, limits)
        if limit is not None and amount >= limit:
            return name
    return None
