"""Who asks the quotas: a tenant by one of its keys, with the limits that hold, as the scripts take them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

from agentflow_tenancy.plans import Limits
from agentflow_tenancy.quotas import (
    OF_A_REQUEST,
    OF_A_RUN,
    UNITS,
    Decision,
    Standing,
    limit_of,
    pace,
    window_of,
)
from agentflow_tenancy.tenants import Principal


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits of a tenant and of one of its keys.

    Attributes:
        limits: For what is counted for the tenant as a whole: its own, or the key's where it has some.
        pace_limits: For its rate of requests: its own, whatever its keys'.
        key_limits: The key's own: its rate is counted for itself, too.
        keys: Of Redis, in the order of the scripts.
        rate_words, run_words: What the script is told of the limits.
        paces: Whether requests are limited.
        counts_runs: Whether anything of a run is.
        spends: Whether anything is that Postgres knows more of than Redis.
    """

    tenant_id: UUID
    limits: Limits
    pace_limits: Limits
    key_limits: Limits
    keys: tuple[str, ...]
    rate_words: tuple[str, ...]
    run_words: tuple[str, ...]
    paces: bool
    counts_runs: bool
    spends: bool
    policies: tuple[Standing, ...] = field(repr=False)

    def decision(self, answer: Sequence[int]) -> Decision:
        """What a script's answer means."""
        refused, retry_ms = answer[0], answer[1]
        left = [answer[2], answer[4], *answer[6:11]]
        resets = [answer[3], answer[5]]
        until_day = answer[11] if len(answer) > 11 else 0
        standings = []
        for policy, number in zip(self.policies, _NUMBERS, strict=True):
            if policy.limit < 0 or number >= len(left) or left[number] < 0:
                continue
            reset_ms = resets[number] if number < 2 else until_day
            reset_s = None if policy.window_s is None else -(-reset_ms // 1000)
            standings.append(
                Standing(policy.name, policy.limit, policy.window_s, left[number], reset_s, policy.unit)
            )
        if refused <= 0:
            return Decision(True, tuple(standings))
        return Decision(False, tuple(standings), (*OF_A_REQUEST, *OF_A_RUN)[refused - 1], retry_ms / 1000)


_NUMBERS = range(len(OF_A_REQUEST) + len(OF_A_RUN))


def allowance_of(principal: Principal) -> Allowance:
    """The allowance of who asks; made once for the same limits."""
    tenant = principal.tenant
    return _made(tenant.tenant_id, principal.key_id, tenant.limits, principal.limits)


@lru_cache(maxsize=4096)
def _made(tenant_id: UUID, key_id: str, tenant_limits: Limits, key_limits: Limits) -> Allowance:
    limits = tenant_limits.overridden(key_limits)
    encoded = base64.urlsafe_b64encode(key_id.encode()).decode().rstrip("=")
    tag = f"af:{{{tenant_id.hex}}}:q"
    run_limits = [limit_of(name, limits) for name in OF_A_RUN]
    rate_words = (*_pace_words(tenant_limits), *_pace_words(key_limits))
    return Allowance(
        tenant_id=tenant_id,
        limits=limits,
        pace_limits=tenant_limits,
        key_limits=key_limits,
        keys=(f"{tag}:r", f"{tag}:r:{encoded}", f"{tag}:c", f"{tag}:n", f"{tag}:u"),
        rate_words=rate_words,
        run_words=tuple("" if limit is None else str(limit) for limit in run_limits),
        paces=any(rate_words),
        counts_runs=any(limit is not None for limit in run_limits),
        spends=any(limit is not None for limit in run_limits[1:]),
        policies=tuple(
            _policy(name, own)
            for name, own in [
                *zip(OF_A_REQUEST, (tenant_limits, key_limits), strict=True),
                *((name, limits) for name in OF_A_RUN),
            ]
        ),
    )


def _policy(name: str, limits: Limits) -> Standing:
    limit = limit_of(name, limits)
    return Standing(name, -1 if limit is None else limit, window_of(name), 0, None, UNITS.get(name))


def _pace_words(limits: Limits) -> tuple[str, str]:
    found = pace(limits)
    return ("", "") if found is None else (repr(found[0]), str(found[1]))
