"""Who asks the quotas: a tenant by one of its keys, with the limits that hold, as the scripts take them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final
from uuid import UUID

from agentflow_tenancy.plans import Limits
from agentflow_tenancy.quotas import (
    OF_A_REQUEST,
    OF_A_RUN,
    TOKENS,
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
        limits: For what is counted for the tenant as a whole: its own, or the key's where those are lower.
        pace_limits: For its rate of requests: its own, whatever its keys'.
        key_limits: The key's own: its rate is counted for itself, too.
        keys: Of Redis, in the order of the scripts.
        packed: What the script is told of the limits.
        paces: Whether requests are limited.
        counts_runs: Whether anything of a run is.
        spends: Whether anything is that Postgres knows more of than Redis.
    """

    tenant_id: UUID
    limits: Limits
    pace_limits: Limits
    key_limits: Limits
    keys: tuple[str, ...]
    packed: bytes
    paces: bool
    counts_runs: bool
    spends: bool
    policies: tuple[Standing, ...] = field(repr=False)

    def decision(self, answer: Sequence[int]) -> Decision:
        """What a script's answer means."""
        tokens_left = (
            answer[_TOKENS_LEFT] if len(answer) > _TOKENS_LEFT and answer[_TOKENS_LEFT] >= 0 else None
        )
        made = partial(self._standings, answer)
        refused = answer[0]
        if refused <= 0:
            return Decision(True, tokens_left=tokens_left, made=made)
        return Decision(False, _NAMES[refused - 1], answer[1] / 1000, tokens_left, made)

    def _standings(self, answer: Sequence[int]) -> tuple[Standing, ...]:
        left = [answer[2], answer[4], *answer[6:11]]
        resets_ms = [answer[3], answer[5], *[answer[11] if len(answer) > 11 else 0] * len(OF_A_RUN)]
        return tuple(
            Standing(
                policy.name,
                policy.limit,
                policy.window_s,
                left[number],
                None if policy.window_s is None else -(-resets_ms[number] // 1000),
                policy.unit,
            )
            for number, policy in enumerate(self.policies[: len(left)])
            if policy.limit >= 0 and left[number] >= 0
        )


_NAMES: Final = (*OF_A_REQUEST, *OF_A_RUN)
# Where the script's answer has them.
_TOKENS_LEFT: Final = 6 + OF_A_RUN.index(TOKENS)


def allowance_of(principal: Principal) -> Allowance:
    """The allowance of who asks; made once for the same limits."""
    tenant = principal.tenant
    return _made(tenant.tenant_id, principal.key_id, tenant.limits, principal.limits)


@lru_cache(maxsize=4096)
def _made(tenant_id: UUID, key_id: str, tenant_limits: Limits, key_limits: Limits) -> Allowance:
    limits = tenant_limits.at_most(key_limits)
    encoded = base64.urlsafe_b64encode(key_id.encode()).decode().rstrip("=")
    tag = f"af:{{{tenant_id.hex}}}:q"
    run_limits = [limit_of(name, limits) for name in OF_A_RUN]
    paces = (*_pace_of(tenant_limits), *_pace_of(key_limits))
    caps = (-1 if limit is None else limit for limit in run_limits)
    return Allowance(
        tenant_id=tenant_id,
        limits=limits,
        pace_limits=tenant_limits,
        key_limits=key_limits,
        keys=(f"{tag}:p", f"{tag}:p:{encoded}", f"{tag}:c", f"{tag}:u"),
        packed=struct.pack(">9d", *paces, *caps),
        paces=any(number >= 0 for number in paces),
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


def _pace_of(limits: Limits) -> tuple[float, float]:
    return pace(limits) or (-1, -1)
