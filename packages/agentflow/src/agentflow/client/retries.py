"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from agentflow.client.errors import ApiError, ClientError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, so that clients who failed together do not come back together.

    Attributes:
        max_retries: Of one request, on top of the first try; 0 for none.
        total_s: No try begins later than this after the first failure.
        first_wait_s: The first wait is between 0 and this, each further one up to twice as long.
        longest_wait_s: Where doubling ends. What `Retry-After` asks for comes on top, whole.
    """

    max_retries: int = 4
    total_s: float = 60.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0

    def wait_s(
        self,
        retry: int,
        *,
        spent_s: float = 0.0,
        at_least_s: float | None = None,
        chance: Callable[[], float] = random.random,
    ) -> float | None:
        """How long to wait before a try; None when there shall be none.

        Args:
            retry: 1 for the first one.
            spent_s: Since the first failure.
            at_least_s: What the service asked for.
            chance: Gives 0..1.
        """
        if retry > self.max_retries:
            return None
        backoff_s = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(retry - 1, 64))
        wait_s = (at_least_s or 0.0) + chance() * backoff_s
        return wait_s if spent_s + wait_s <= self.total_s else None


class Retrying:
    """The failures in a row of one request."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._since: float | None = None

    def wait_s(self, error: ClientError) -> float | None:
        """Count a failure: how long to wait after it, None to give up."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        self._failures += 1
        if not error.transient:
            return None
        asked = error.retry_after_s if isinstance(error, ApiError) else None
        return self._policy.wait_s(self._failures, spent_s=now - self._since, at_least_s=asked)

    def succeeded(self) -> None:
        """Something was got on the way: the count begins anew."""
        self._failures, self._since = 0, None
