"""Quotas counted in Redis: one call of one script, whatever is limited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from agentflow.storage.checkpointer.redis_calls import Script, ScriptCalls
from agentflow_tenancy import quota_scripts
from agentflow_tenancy.allowance import Allowance
from agentflow_tenancy.quotas import Decision, Used

_TAKE: Final = Script(quota_scripts.TAKE)
_SPEND: Final = Script(quota_scripts.SPEND)
_SEED: Final = Script(quota_scripts.SEED)
_FORGET: Final = Script(quota_scripts.FORGET)
_PING: Final = Script(quota_scripts.PING)

# What a request's script needs of the keys; a run's needs all.
_OF_A_REQUEST: Final = 2


@dataclass(slots=True)
class Spent:
    """What a run spent since it last said so."""

    threads: int = 0
    stored_bytes: int = 0
    tokens: int = 0
    checkpoints: int = 0


@dataclass(frozen=True, slots=True)
class Unseeded:
    """Nothing is known of what a tenant spent: Postgres must be asked.

    Attributes:
        begun: Names the count that its answer belongs to.
    """

    begun: int


class QuotaStore:
    """Counts of all tenants, in one Redis. Every method is one round trip, shared with concurrent ones.

    Every method raises RedisError, OSError or TimeoutError when no answer came.
    """

    def __init__(self, client: Redis, *, lease_s: float = 30.0, keep_s: float = 60.0) -> None:
        """Nothing is sent yet.

        Args:
            client: Of this event loop.
            lease_s: A run is counted so long after it was last heard of.
            keep_s: How long what was spent is counted on until Postgres is asked again.
        """
        self._scripts = ScriptCalls(client)
        self._lease_ms = str(int(lease_s * 1000))
        self._keep_ms = str(int(keep_s * 1000))

    async def take_request(self, allowance: Allowance) -> Decision:
        """Take a request, or nothing."""
        words = (allowance.packed, "")
        return allowance.decision(await self._scripts.call(_TAKE, allowance.keys[:_OF_A_REQUEST], words))

    async def take_run(
        self, allowance: Allowance, token: str, *, may_make_thread: bool
    ) -> Decision | Unseeded:
        """Take a request and all that a run needs, or nothing.

        Args:
            allowance: Whose.
            token: Names the run; "" is one that begins later: it needs no place, and nothing is held for it.
            may_make_thread: Whether it needs room for a thread.

        Returns:
            What was decided, or that it must be seeded first and asked again.
        """
        makes = "1" if may_make_thread else "0"
        words = (allowance.packed, token, self._lease_ms, makes, self._keep_ms)
        answer = await self._scripts.call(_TAKE, allowance.keys, words)
        return Unseeded(answer[1]) if answer[0] < 0 else allowance.decision(answer)

    async def spend(
        self, allowance: Allowance, token: str, spent: Spent, *, may_make_thread: bool
    ) -> Used | None:
        """Say what a run spent, and that it goes on. None: not known, Postgres must be asked."""
        return await self._spend(allowance, token, spent, (self._lease_ms, "1" if may_make_thread else "0"))

    async def end(self, allowance: Allowance, token: str, spent: Spent) -> Used | None:
        """Say what a run spent, and that it is over."""
        return await self._spend(allowance, token, spent, ("0", "0"))

    async def seed(self, allowance: Allowance, unseeded: Unseeded, used: Used) -> None:
        """Add what Postgres knows to what was counted since it was asked, unless somebody did.

        Nothing is added when it was forgotten in between: more may have been spent than Postgres knew then.
        """
        facts = (used.threads, used.stored_bytes, used.day, used.tokens, used.checkpoints, self._keep_ms)
        await self._scripts.call(_SEED, allowance.keys[3:], (*facts, unseeded.begun))

    async def forget(self, allowance: Allowance) -> None:
        """Have Postgres asked anew: something that was kept is gone."""
        await self._scripts.call(_FORGET, allowance.keys[3:], ())

    async def ping(self) -> bool:
        """Have it answer."""
        return bool(await self._scripts.call(_PING, (), ()))

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._scripts.close()

    async def _spend(
        self, allowance: Allowance, token: str, spent: Spent, lease: Sequence[str]
    ) -> Used | None:
        amounts = (spent.threads, spent.stored_bytes, spent.tokens, spent.checkpoints)
        answer = await self._scripts.call(_SPEND, allowance.keys[2:], (token, *lease, *amounts))
        if not answer:
            return None
        threads, stored_bytes, tokens, checkpoints = answer
        return Used(threads, stored_bytes, 0, tokens, checkpoints)
