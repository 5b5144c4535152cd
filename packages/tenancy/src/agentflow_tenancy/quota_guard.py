"""What asks for room: requests and runs, counted in Redis, or on trust for a little while without it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, Literal, Protocol

from redis.exceptions import RedisError

from agentflow.core.graph import Boundary
from agentflow.errors import StorageError
from agentflow.utils.random_ids import random_bits
from agentflow_tenancy.allowance import Allowance, allowance_of
from agentflow_tenancy.days_tokens import DaysTokens
from agentflow_tenancy.errors import QuotaExceededError, QuotasUnavailableError
from agentflow_tenancy.local_quotas import LocalQuotas
from agentflow_tenancy.quota_spans import note_decision, note_refusal, quota_span
from agentflow_tenancy.quota_store import QuotaStore, Spent, Unseeded
from agentflow_tenancy.quotas import (
    CHECKPOINTS,
    CONCURRENT_RUNS,
    MINUTE_S,
    REQUESTS,
    THREADS,
    TOKENS,
    Decision,
    Used,
    overspent,
)
from agentflow_tenancy.tenants import Principal, Tenant

logger = logging.getLogger("agentflow.quotas")

_AWAY: Final = (RedisError, OSError, TimeoutError)
_PROBE_EVERY_S: Final = 1.0
# Seeds that another process's loss of a lease undoes at once are rare; more than one in a row is a fault.
_SEEDINGS: Final = 3
# With less room for threads than this, those that turn out not to begin one give theirs back at once.
_SCARCE: Final = 100
_MOST_REMEMBERED: Final = 100_000
_DAILY: Final = (TOKENS, CHECKPOINTS)
_FREE: Final = Decision(True)

State = Literal["ok", "degraded", "off"]


class Truth(Protocol):
    """Where what was spent is known for good."""

    async def used(self, tenant_id: uuid.UUID) -> Used:
        """What a tenant keeps and spent today."""
        ...


class Run:
    """A run that was let in: spends, stays counted while it goes on, and says so at its end.

    It is a library's `Budget`.

    Attributes:
        decision: What let it in.
        no_new_thread: When it may only go on with a thread that exists: what to refuse a new one with.
        handed_over: Somebody else has it left at its end, not who had it let in.
        is_unsure: Redis may have counted it without saying so.
    """

    def __init__(
        self, guard: QuotaGuard, tenant: Tenant, allowance: Allowance, token: str, decision: Decision
    ) -> None:
        """Use `QuotaGuard.run`."""
        self._guard = guard
        self._tenant = tenant
        self.allowance = allowance
        self.token = token
        self.decision = decision
        self.spent = Spent()
        self.may_make_thread = True
        self.no_new_thread: QuotaExceededError | None = None
        self.handed_over = False
        self.is_unsure = False
        self._telling: asyncio.Task[None] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the tenant has no tokens left for today."""
        left = self._guard.tokens_left(self.allowance)
        return left is not None and left <= 0

    def refuse_new_thread(self) -> None:
        """Insist on a thread that exists; call it where there is none.

        Raises:
            QuotaExceededError: There is no room for a new one.
        """
        if self.no_new_thread is not None:
            note_refusal(self._tenant, THREADS)
            raise self.no_new_thread

    def spend(self, boundary: Boundary) -> None:
        """Take note of a node boundary. Tokens are told to the others at once, the rest at the end."""
        tokens = boundary.tokens_in + boundary.tokens_out
        spent = self.spent
        spent.checkpoints += 1
        spent.threads += boundary.begins_thread
        spent.tokens += tokens
        spent.stored_bytes += sum(len(message.text().encode()) for message in boundary.messages)
        self._guard.note_tokens(self.allowance, tokens)
        frees_room, self.may_make_thread = self.may_make_thread and self._room_is_scarce(), False
        # Of a run that nothing limits nobody needs to know.
        if self.allowance.counts_runs and (tokens or frees_room):
            self.tell()

    def keep(self, *, threads: int, stored_bytes: int) -> None:
        """Take note of what is kept from now on without a boundary: a copy."""
        self.spent.threads += threads
        self.spent.stored_bytes += stored_bytes
        self.may_make_thread = False

    def tell(self) -> None:
        """Say what was spent so far, and that the run goes on, without waiting."""
        if self._telling is None or self._telling.done():
            self._telling = self._guard.start(self._guard.tell(self))

    async def finish(self) -> None:
        """Wait for what is being told."""
        if self._telling is not None:
            await asyncio.wait([self._telling])

    def _room_is_scarce(self) -> bool:
        standing = self.decision.standing("threads")
        return standing is not None and standing.remaining < _SCARCE


class QuotaGuard:
    """Lets requests and runs in, of one event loop.

    Attributes:
        degraded: Redis does not answer: rates are this process's share, and spending goes on trust.
    """

    def __init__(
        self,
        store: QuotaStore | None,
        truth: Truth,
        *,
        processes: int = 1,
        grace_s: float = 30.0,
        beat_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is asked yet.

        Args:
            store: Counts; None is a deployment without Redis, which asks Postgres instead.
            truth: Where what was spent is known for good.
            processes: How many like this one share a tenant's rate when each counts for itself.
            grace_s: How long after Redis was first missed a tenant with limits may still spend.
            beat_s: How often a run says that it goes on.
            clock: Seconds.
            wall_clock: Seconds of the epoch: days are told by it.
        """
        self._store = store
        self._truth = truth
        self._local = LocalQuotas(processes, clock=clock)
        self._grace_s = grace_s
        self._beat_s = beat_s
        self._clock = clock
        self._away_until = 0.0
        self._missed_at = 0.0
        self._tokens = DaysTokens(wall_clock)
        # Tenants of whose spending Redis may not know all.
        self._untold: set[uuid.UUID] = set()
        self._running: set[Run] = set()
        # Runs that are over, or never began, of which Redis may not know: said once it answers again.
        self._unended: OrderedDict[str, Allowance] = OrderedDict()
        self._saying_ends: asyncio.Task[None] | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self.degraded = False

    async def request(self, principal: Principal) -> Decision:
        """Take a request.

        Raises:
            QuotaExceededError: Too many in the last minute.

        One round trip to Redis; none where nothing is limited.
        """
        allowance = allowance_of(principal)
        if not allowance.paces:
            return _FREE
        with quota_span(principal.tenant) as span:
            decision = None
            if self._store is not None:
                decision = await self._asked(partial(self._store.take_request, allowance))
            is_unchecked = decision is None and self._store is not None
            decision = decision or self._local.take(allowance)
            note_decision(span, decision, asked=REQUESTS, is_unchecked=is_unchecked)
        return _let_in(decision)

    def run(self, principal: Principal) -> AbstractAsyncContextManager[Run]:
        """Take a request and a run, for the length of a block.

        Args:
            principal: Who asks. Room for a thread is taken, too, until the run's first boundary tells whether
                it began one. When there is none the run is let in with `no_new_thread`.

        Raises:
            QuotaExceededError: One of its quotas is used up; nothing was taken.
            QuotasUnavailableError: Redis is away for too long to spend on trust.

        One round trip at the beginning and one at the end; another and one to Postgres when what the tenant
        spent must be read anew, about once a minute. None where nothing is limited.
        """
        return _Entered(self, principal)

    async def queued(self, principal: Principal) -> Run:
        """Take a request, and see that there is room for a run that begins later. It is not left.

        Raises:
            See `run`. Runs under way refuse none: it waits for them.
        """
        allowance = allowance_of(principal)
        run = Run(self, principal.tenant, allowance, "", _FREE)
        run.decision = await (self._enter(run, principal) if allowance.spends else self.request(principal))
        return run

    async def enter(self, principal: Principal) -> Run:
        """See `run`."""
        allowance = allowance_of(principal)
        run = Run(self, principal.tenant, allowance, _new_token(), _FREE)
        if not allowance.counts_runs:
            run.decision = await self.request(principal)
            return run
        try:
            run.decision = await self._enter(run, principal)
        except asyncio.CancelledError:
            # It may or may not have been counted.
            self.start(self._end(run))
            raise
        except (QuotaExceededError, QuotasUnavailableError, StorageError):
            if run.is_unsure:
                self._note_unended(run)
            raise
        self._running.add(run)
        self._start_beating()
        return run

    async def leave(self, run: Run) -> None:
        """See `run`. Also when cancelled the end is said."""
        if run not in self._running:
            return
        self._running.discard(run)
        try:
            await self._end(run)
        except asyncio.CancelledError:
            # It may or may not have been said.
            self.start(self._end(run))
            raise

    async def forget(self, principal: Principal) -> None:
        """Something of the tenant's was deleted: there is room for as much. Redis being away is no error."""
        allowance = allowance_of(principal)
        if self._store is not None and allowance.spends:
            await self._asked(partial(self._store.forget, allowance))

    async def state(self) -> State:
        """Whether quotas are counted in Redis, asked anew; "off" where there is none."""
        if self._store is None:
            return "off"
        return "degraded" if await self._asked(self._store.ping) is None else "ok"

    def tokens_left(self, allowance: Allowance) -> int | None:
        """What is left of today's tokens, as far as is known here; None without a limit."""
        limit, used = allowance.limits.tokens_per_day, self._tokens.of(allowance.tenant_id)
        return None if limit is None or used is None else limit - used

    def note_tokens(self, allowance: Allowance, tokens: int) -> None:
        """Take tokens off what is left, before anybody else knows."""
        self._tokens.add(allowance.tenant_id, tokens)

    async def tell(self, run: Run) -> None:
        """Say what a run spent so far, and what it spends meanwhile."""
        if self._store is None:
            return
        heard = True
        while heard:
            say = partial(self._store.spend, may_make_thread=run.may_make_thread)
            heard = await self._say(run, say) and run.spent.tokens > 0

    def start(self, saying: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something said without waiting for it; closing does."""
        task = asyncio.get_running_loop().create_task(saying)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def aclose(self) -> None:
        """Wait for what is under way. The client may be closed then."""
        if self._beat is not None:
            self._beat.cancel()
        while self._under_way:
            await asyncio.wait(self._under_way)
        if self._store is not None:
            await self._store.close()

    def _start_beating(self) -> None:
        """One timer for all runs: most end before it rings."""
        if self._beat is None:
            self._beat = asyncio.get_running_loop().call_later(self._beat_s, self._beat_once)

    def _beat_once(self) -> None:
        self._beat = None
        for run in self._running:
            run.tell()
        if self._running:
            self._start_beating()

    async def _enter(self, run: Run, principal: Principal) -> Decision:
        with quota_span(principal.tenant) as span:
            decision = await self._take_run(run, may_make_thread=True)
            if decision.quota == THREADS:
                run.no_new_thread, run.may_make_thread = QuotaExceededError(decision), False
                decision = await self._take_run(run, may_make_thread=False)
            note_decision(span, decision, asked=CONCURRENT_RUNS, is_unchecked=self.degraded)
        return _let_in(decision)

    async def _take_run(self, run: Run, *, may_make_thread: bool) -> Decision:
        allowance, used = run.allowance, None
        if self._store is not None and self._may_ask():
            for _ in range(_SEEDINGS):
                try:
                    await self._have_seeded_anew(allowance)
                    taken = self._store.take_run(allowance, run.token, may_make_thread=may_make_thread)
                    decision = await taken
                    self._heard()
                    if not isinstance(decision, Unseeded):
                        self._learn_left(allowance, decision.tokens_left)
                        return decision
                    used = await self._truth.used(allowance.tenant_id)
                    await self._store.seed(allowance, decision, used)
                except _AWAY as error:
                    run.is_unsure = True
                    self._note_failure(error)
                    break
        return await self._on_trust(run, used, may_make_thread)

    async def _have_seeded_anew(self, allowance: Allowance) -> None:
        """Redis forgets what it knows of a tenant when that may not be all."""
        if self._store is None or allowance.tenant_id not in self._untold:
            return
        self._untold.discard(allowance.tenant_id)  # what cannot be told from now on adds it again
        try:
            await self._store.forget(allowance)
        except BaseException:  # nobody knows whether it has forgotten
            self._untold.add(allowance.tenant_id)
            raise

    async def _on_trust(self, run: Run, used: Used | None, may_make_thread: bool) -> Decision:
        """Without Redis: this process's share of rates and runs; and spending is what Postgres knows of."""
        allowance = run.allowance
        if allowance.spends:
            if self.degraded and self._clock() - self._missed_at > self._grace_s:
                raise QuotasUnavailableError(
                    "What this tenant has spent cannot be counted at this moment; try again in a few seconds."
                )
            if self._store is None:
                used = await self._truth.used(allowance.tenant_id)
            refused = self._overspent(allowance, used, may_make_thread)
            if refused is not None:
                wait_s = self._tokens.until_tomorrow_s() if refused in _DAILY else MINUTE_S
                return Decision(False, refused, wait_s)
        return self._local.take(allowance, run.token)

    def _overspent(self, allowance: Allowance, used: Used | None, may_make_thread: bool) -> str | None:
        if used is None:
            left = self.tokens_left(allowance)
            return TOKENS if left is not None and left <= 0 else None
        self._learn(allowance, used.tokens)
        return overspent(allowance.limits, used, may_make_thread=may_make_thread)

    async def _end(self, run: Run) -> None:
        await run.finish()
        self._local.end(run.allowance, run.token)
        if self._store is not None and not await self._say(run, self._store.end):
            self._note_unended(run)

    def _note_unended(self, run: Run) -> None:
        self._unended[run.token] = run.allowance
        while len(self._unended) > _MOST_REMEMBERED:
            self._unended.popitem(last=False)

    async def _say_ends(self) -> None:
        """Of runs that Redis would count until their leases end, and then not know what they spent."""
        while self._store is not None and self._unended and self._may_ask():
            token, allowance = self._unended.popitem()
            if not await self._asked(partial(_ended, self._store, allowance, token)):
                self._unended[token] = allowance

    async def _say(self, run: Run, say: Callable[[Allowance, str, Spent], Awaitable[Used | None]]) -> bool:
        """Whether Redis heard it. When it may not have, Postgres is asked before the tenant's next run."""
        spent, run.spent = run.spent, Spent()
        answer = None
        try:
            answer = await self._asked(lambda: _boxed(say(run.allowance, run.token, spent)))
        finally:
            if answer is None and run.allowance.spends and spent != Spent():
                self._untold.add(run.allowance.tenant_id)
        if answer is not None and answer[0] is not None:
            self._learn(run.allowance, answer[0].tokens + run.spent.tokens)
        return answer is not None

    def _learn(self, allowance: Allowance, tokens: int) -> None:
        if allowance.limits.tokens_per_day is not None:
            self._tokens.learn(allowance.tenant_id, tokens)

    def _learn_left(self, allowance: Allowance, left: int | None) -> None:
        limit = allowance.limits.tokens_per_day
        if left is None or limit is None:
            return
        # When none are left it may be more than the limit that was spent.
        known = 0 if left else self._tokens.of(allowance.tenant_id) or 0
        self._learn(allowance, max(known, limit - left))

    def _may_ask(self) -> bool:
        return self._clock() >= self._away_until

    async def _asked[T](self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Redis's answer, None when there is none."""
        if not self._may_ask():
            return None
        try:
            found = await ask()
        except _AWAY as error:
            self._note_failure(error)
            return None
        self._heard()
        return found

    def _heard(self) -> None:
        if self.degraded:
            self.degraded = False
            logger.warning("Redis answers again: quotas are counted there.")

        if self._unended and (self._saying_ends is None or self._saying_ends.done()):
            self._saying_ends = self.start(self._say_ends())

    def _note_failure(self, error: Exception) -> None:
        self._away_until = self._clock() + _PROBE_EVERY_S
        if not self.degraded:
            self.degraded = True
            self._missed_at = self._clock()
            kind = type(error).__name__
            logger.warning("Redis does not answer (%s): each process counts its share of the quotas.", kind)


def _new_token() -> str:
    """Names a run: no secret, and as good as unique."""
    return f"{random_bits(96):x}"


async def _boxed[T](answer: Awaitable[T]) -> tuple[T]:
    """So that an answer of nothing is not taken for none."""
    return (await answer,)


async def _ended(store: QuotaStore, allowance: Allowance, token: str) -> bool:
    await store.end(allowance, token, Spent())
    return True


class _Entered:
    """A run for the length of a block. Hot, so no generator."""

    __slots__ = ("_guard", "_principal", "_run")

    def __init__(self, guard: QuotaGuard, principal: Principal) -> None:
        self._guard = guard
        self._principal = principal

    async def __aenter__(self) -> Run:
        self._run = await self._guard.enter(self._principal)
        return self._run

    async def __aexit__(self, *_: object) -> None:
        await self._guard.leave(self._run)


def _let_in(decision: Decision) -> Decision:
    if not decision.allowed:
        raise QuotaExceededError(decision)
    return decision
