"""What tenants may use: plans with defaults, which a tenant's own override; a key's own only lower them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Self

from agentflow.storage.checkpointer import Limits as Sizes
from agentflow_tenancy.errors import InvalidLimitsError

MAX_LIMIT: Final = 10**15
DEFAULT_PLAN: Final = "standard"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a tenant or a key may use; None is no limit of its own.

    Attributes:
        requests_per_minute: Steady rate.
        burst: Requests at once on top of a steady rate.
        concurrent_runs: Runs under way at the same time.
        queued_runs: Runs in the background that wait to begin.
        threads: Threads kept.
        stored_bytes: Of messages and checkpoints kept, as they were sent.
        tokens_per_day: Tokens that models report, in a UTC day.
        checkpoints_per_day: Node boundaries made durable, in a UTC day.
        message_bytes: Of one message, as stored. These three cannot raise what the service itself allows.
        state_bytes: Of a thread's fields, without its messages.
        thread_messages: Messages that a thread may have had in all.
    """

    requests_per_minute: int | None = None
    burst: int | None = None
    concurrent_runs: int | None = None
    queued_runs: int | None = None
    threads: int | None = None
    stored_bytes: int | None = None
    tokens_per_day: int | None = None
    checkpoints_per_day: int | None = None
    message_bytes: int | None = None
    state_bytes: int | None = None
    thread_messages: int | None = None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Limits from a JSON object; null and absent alike leave one to the plan.

        Raises:
            InvalidLimitsError: An unknown name, or no whole number from 0 to 10^15.
        """
        known = LIMIT_NAMES
        for name, value in values.items():
            if name not in known:
                raise InvalidLimitsError(f"There is no limit {name!r}; known are {', '.join(known)}.")
            if value is not None and (type(value) is not int or not 0 <= value <= MAX_LIMIT):
                raise InvalidLimitsError(f"The limit {name!r} must be a whole number from 0 to 10^15.")
        return cls(**values)

    def overridden(self, other: Limits) -> Limits:
        """These, with what `other` says instead."""
        return Limits(
            **{
                name: own if (own := getattr(other, name)) is not None else getattr(self, name)
                for name in LIMIT_NAMES
            }
        )

    def at_most(self, other: Limits) -> Limits:
        """The lower of both, limit by limit."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in LIMIT_NAMES}
        return Limits(
            **{
                name: min((one for one in pair if one is not None), default=None)
                for name, pair in pairs.items()
            }
        )

    def as_json(self) -> dict[str, int]:
        """Those that are set."""
        return {name: value for name in LIMIT_NAMES if (value := getattr(self, name)) is not None}


LIMIT_NAMES: Final = tuple(field.name for field in fields(Limits))

NO_LIMITS: Final = Limits()

PLANS: Final[Mapping[str, Limits]] = MappingProxyType(
    {
        "free": Limits(
            requests_per_minute=300,
            burst=60,
            concurrent_runs=5,
            queued_runs=1_000,
            threads=10_000,
            stored_bytes=2**30,
            tokens_per_day=1_000_000,
            checkpoints_per_day=50_000,
            message_bytes=256 * 1024,
            state_bytes=256 * 1024,
            thread_messages=100_000,
        ),
        "standard": Limits(
            requests_per_minute=60_000,
            burst=5_000,
            concurrent_runs=200,
            queued_runs=10_000,
            threads=1_000_000,
            stored_bytes=100 * 2**30,
            tokens_per_day=100_000_000,
            checkpoints_per_day=20_000_000,
            message_bytes=2**20,
            state_bytes=2**20,
            thread_messages=1_000_000,
        ),
        "enterprise": Limits(
            requests_per_minute=600_000,
            burst=50_000,
            concurrent_runs=5_000,
            queued_runs=100_000,
            threads=100_000_000,
            stored_bytes=10 * 2**40,
        ),
        "unlimited": Limits(),
    }
)


def plan_limits(plan: str) -> Limits:
    """A plan's defaults. A plan that a later version no longer has counts as the smallest there is."""
    return PLANS.get(plan, PLANS["free"])


def limits_of(plan: str, *overrides: Limits) -> Limits:
    """What holds: the plan's defaults, overridden by others in their order.

    Raises:
        InvalidLimitsError: There is no such plan.
    """
    if plan not in PLANS:
        raise InvalidLimitsError(f"There is no plan {plan!r}; known are {', '.join(PLANS)}.")
    limits = PLANS[plan]
    for own in overrides:
        limits = limits.overridden(own)
    return limits


@lru_cache(maxsize=1024)
def sizes_of(tenant: Limits, key: Limits) -> Sizes | None:
    """What a tenant may store at a time, by a key; None where only the service's own limits hold."""
    limits = tenant.overridden(key)
    own = {
        "max_message_bytes": limits.message_bytes,
        "max_state_bytes": limits.state_bytes,
        "max_thread_messages": limits.thread_messages,
    }
    if all(limit is None for limit in own.values()):
        return None
    return Sizes(**{name: MAX_LIMIT if limit is None else limit for name, limit in own.items()})
