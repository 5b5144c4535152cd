"""Quotas on a real Valkey: exact when many ask at once, all or nothing, and right again after any loss."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from agentflow.core.graph import Boundary
from agentflow.core.state import Message
from agentflow.storage.checkpointer.cache import client_from_url
from agentflow_embedded import EmbeddedValkey
from agentflow_tenancy import (
    Limits,
    Principal,
    QuotaExceededError,
    QuotaGuard,
    QuotaStore,
    QuotasUnavailableError,
    Run,
    Tenant,
)
from agentflow_tenancy.allowance import allowance_of
from agentflow_tenancy.plans import NO_LIMITS
from agentflow_tenancy.quota_store import Spent, Unseeded
from agentflow_tenancy.quotas import Decision, Used


class Books:
    """What Postgres would know."""

    def __init__(self) -> None:
        self.used_of: dict[uuid.UUID, Used] = {}
        self.asked = 0

    async def used(self, tenant_id: uuid.UUID) -> Used:
        self.asked += 1
        await asyncio.sleep(0)
        return self.used_of.get(tenant_id, Used(0, 0, 0, 0, 0))


def principal(tenant_id: uuid.UUID | None = None, key: Limits = NO_LIMITS, /, **limits: int) -> Principal:
    tenant = Tenant(tenant_id or uuid.uuid4(), "t", "active", 1, 1, None, "memory", limits=Limits(**limits))
    return Principal(tenant, "k{}:1", frozenset(), limits=key)


def boundary(tokens: int = 0, text: str = "", *, begins_thread: bool = False) -> Boundary:
    messages = [Message.text_message(text)] if text else []
    return Boundary(messages, tokens, 0, begins_thread=begins_thread)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = client_from_url(redis_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def guard(redis: Redis, books: Books) -> QuotaGuard:
    return QuotaGuard(QuotaStore(redis), books)


async def hold(stack: AsyncExitStack, guard: QuotaGuard, who: Principal) -> str | None:
    """Start a run that goes on until the stack ends; the quota that refused it, if one did."""
    try:
        await stack.enter_async_context(guard.run(who))
    except QuotaExceededError as error:
        return error.decision.quota
    return None


async def test_a_burst_then_a_steady_rate(guard: QuotaGuard) -> None:
    """As many at once as the burst, and no more until the rate gives one back; the answer says when."""
    who = principal(requests_per_minute=60, burst=5)
    left = [(await guard.request(who)).standing("requests") for _ in range(5)]
    assert [standing.remaining for standing in left if standing] == [4, 3, 2, 1, 0]
    with pytest.raises(QuotaExceededError, match="requests") as refused:
        await guard.request(who)
    decision = refused.value.decision
    assert 0 < decision.retry_after_s <= 1
    standing = decision.standing("requests")
    assert standing is not None
    assert (standing.limit, standing.window_s, standing.remaining) == (60, 60, 0)
    assert standing.reset_s is not None
    assert 4 <= standing.reset_s <= 5


async def test_exact_when_many_ask_at_once(redis: Redis, books: Books) -> None:
    """From several processes' clients: as many as there are, not one more or less."""
    guards = [QuotaGuard(QuotaStore(redis), books) for _ in range(4)]
    who = principal(requests_per_minute=1, burst=37)
    answers = await asyncio.gather(*(guards[i % 4].request(who) for i in range(200)), return_exceptions=True)
    assert sum(isinstance(answer, QuotaExceededError) for answer in answers) == 200 - 37


async def test_a_keys_own_rate_stands_beside_its_tenants(guard: QuotaGuard) -> None:
    """Both hold; refused by the key's, nothing of the tenant's is taken."""
    tenant_id = uuid.uuid4()
    narrow = principal(tenant_id, Limits(requests_per_minute=1, burst=2), requests_per_minute=1, burst=4)
    wide = principal(tenant_id, requests_per_minute=1, burst=4)
    for _ in range(2):
        await guard.request(narrow)
    for _ in range(3):
        with pytest.raises(QuotaExceededError, match="key-requests"):
            await guard.request(narrow)
    standing = (await guard.request(wide)).standing("requests")
    assert standing is not None
    assert standing.remaining == 1


async def test_refused_by_one_takes_nothing_of_the_others(guard: QuotaGuard, books: Books) -> None:
    """Each quota of a run in turn is the one that is used up."""
    full = {
        "concurrent-runs": {"concurrent_runs": 0},
        "stored-bytes": {"stored_bytes": 100},
        "tokens-per-day": {"tokens_per_day": 100},
        "checkpoints-per-day": {"checkpoints_per_day": 100},
    }
    room = {"requests_per_minute": 1, "burst": 3, "concurrent_runs": 1, "threads": 1000}
    for quota, limit in full.items():
        who = principal(None, **(room | limit))
        books.used_of[who.tenant.tenant_id] = Used(100, 100, today(), 100, 100)
        for _ in range(5):
            async with AsyncExitStack() as stack:
                assert await hold(stack, guard, who) == quota
        standing = (await guard.request(who)).standing("requests")
        assert standing is not None
        assert standing.remaining == 2


async def test_concurrent_runs_end(guard: QuotaGuard) -> None:
    """As many as allowed at the same time, whoever asks; each end makes room for one."""
    who = principal(concurrent_runs=7)
    async with AsyncExitStack() as stack:
        refused = await asyncio.gather(*(hold(stack, guard, who) for _ in range(50)))
        assert refused.count(None) == 7
        assert refused.count("concurrent-runs") == 43
    async with AsyncExitStack() as stack:
        assert (await asyncio.gather(*(hold(stack, guard, who) for _ in range(7)))).count(None) == 7


async def test_a_killed_processs_runs_end_by_themselves(redis: Redis, books: Books) -> None:
    """Their leases run out; then Postgres is asked what they spent."""
    who = principal(concurrent_runs=1, tokens_per_day=100)
    dying = QuotaStore(redis, lease_s=0.05)
    allowance = allowance_of(who)
    unseeded = await dying.take_run(allowance, "killed", may_make_thread=True)
    assert isinstance(unseeded, Unseeded)
    await dying.seed(allowance, unseeded, Used(0, 0, today(), 0, 0))
    taken = await dying.take_run(allowance, "killed", may_make_thread=True)
    assert isinstance(taken, Decision)
    assert taken.allowed
    books.used_of[who.tenant.tenant_id] = Used(0, 0, today(), 60, 0)
    guard = QuotaGuard(QuotaStore(redis), books)
    for _ in range(200):
        async with AsyncExitStack() as stack:
            if await hold(stack, guard, who) is None:
                break
        await asyncio.sleep(0.01)
    assert books.asked == 1
    async with guard.run(who) as run:
        standing = run.decision.standing("tokens-per-day")
        assert standing is not None
        assert standing.remaining == 40


async def test_a_run_that_goes_on_is_not_forgotten(redis: Redis, books: Books) -> None:
    """It is heard of before its lease ends, for as long as it runs."""
    who = principal(concurrent_runs=1)
    guard = QuotaGuard(QuotaStore(redis, lease_s=0.3), books, beat_s=0.05)
    async with guard.run(who):
        # Redis counts the lease down by its own clock: twice its length is lived through.
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.6
        while loop.time() < until:
            async with AsyncExitStack() as stack:
                assert await hold(stack, guard, who) == "concurrent-runs"


async def test_spending_ends_runs_and_refuses_new_ones(guard: QuotaGuard, books: Books) -> None:
    """A run that used the day's tokens up is told, as are those beside it, before their next node."""
    who = principal(tokens_per_day=100, checkpoints_per_day=1000)
    books.used_of[who.tenant.tenant_id] = Used(0, 0, today(), 50, 0)
    async with guard.run(who) as run, guard.run(who) as sibling:
        run.spend(boundary(30))
        assert [run.exhausted, sibling.exhausted] == [False, False]
        sibling.spend(boundary(30))
        assert [run.exhausted, sibling.exhausted] == [True, True]
    with pytest.raises(QuotaExceededError, match="tokens-per-day"):
        async with guard.run(who):
            pass
    assert books.asked == 1


async def test_threads_are_exact(guard: QuotaGuard, books: Books) -> None:
    """Of many runs at once as many may begin a thread as there is room; others go on with old ones."""
    who = principal(threads=5)
    books.used_of[who.tenant.tenant_id] = Used(2, 0, today(), 0, 0)
    async with AsyncExitStack() as stack:
        runs = [await stack.enter_async_context(guard.run(who)) for _ in range(10)]
        assert [run.no_new_thread is None for run in runs].count(True) == 3
        free = next(run for run in runs if run.no_new_thread is None)
        free.spend(boundary(begins_thread=False))  # it was no new one after all
        await free.finish()
        late = await stack.enter_async_context(guard.run(who))
        assert late.no_new_thread is None
        late.spend(boundary(begins_thread=True))
    async with guard.run(who) as run:
        standing = run.decision.standing("threads")
        assert standing is not None
        assert standing.remaining == 5 - 2 - 1 - 1


async def test_a_flush_is_seeded_from_postgres(guard: QuotaGuard, books: Books, redis: Redis) -> None:
    """By the first that asks; many that ask at once add it once."""
    who = principal(tokens_per_day=1000)
    books.used_of[who.tenant.tenant_id] = Used(0, 0, today(), 900, 0)
    for _ in range(2):
        async with AsyncExitStack() as stack:
            runs = [hold(stack, guard, who) for _ in range(20)]
            assert set(await asyncio.gather(*runs)) == {None}
            async with guard.run(who) as run:
                standing = run.decision.standing("tokens-per-day")
                assert standing is not None
                assert standing.remaining == 100
        await redis.delete(*allowance_of(who).keys)


async def test_what_is_spent_while_postgres_is_asked_counts(redis: Redis, books: Books) -> None:
    """Nothing is lost between the question and its answer."""
    store, who = QuotaStore(redis), principal(tokens_per_day=1000)
    allowance = allowance_of(who)
    unseeded = await store.take_run(allowance, "a", may_make_thread=True)
    assert isinstance(unseeded, Unseeded)
    assert await store.spend(allowance, "other", Spent(tokens=7), may_make_thread=False) is None
    await store.seed(allowance, unseeded, Used(0, 0, today(), 100, 0))
    await store.seed(allowance, unseeded, Used(0, 0, today(), 100, 0))
    used = await store.end(allowance, "other", Spent(tokens=1))
    assert used is not None
    assert used.tokens == 108


async def test_keys_are_the_tenants_own(guard: QuotaGuard, redis: Redis) -> None:
    """One hash tag of the tenant's id; a credential's id is encoded; every key ends by itself."""
    key = Limits(requests_per_minute=60)
    who = principal(None, key, requests_per_minute=60, concurrent_runs=3, tokens_per_day=5, threads=9)
    async with guard.run(who):
        keys = [key async for key in redis.scan_iter(f"*{who.tenant.tenant_id.hex}*")]
        assert len(keys) == 4
        for key in keys:
            assert key.startswith(b"af:{" + who.tenant.tenant_id.hex.encode() + b"}:q:")
            assert b"{}" not in key[5:]
            assert await redis.pttl(key) > 0


async def test_a_changed_limit_holds_at_once(guard: QuotaGuard) -> None:
    """The next question is asked with it."""
    tenant_id = uuid.uuid4()
    await guard.request(principal(tenant_id, requests_per_minute=1, burst=1))
    with pytest.raises(QuotaExceededError):
        await guard.request(principal(tenant_id, requests_per_minute=1, burst=1))
    await guard.request(principal(tenant_id, requests_per_minute=6000, burst=2))
    with pytest.raises(QuotaExceededError):
        await guard.request(principal(tenant_id, requests_per_minute=0))


async def test_nothing_limited_asks_nobody(books: Books) -> None:
    """Not even a Redis that is not there."""
    nowhere = client_from_url("redis://127.0.0.1:1/0", timeout_s=1)
    guard = QuotaGuard(QuotaStore(nowhere), books)
    assert (await guard.request(principal())).allowed
    async with guard.run(principal()) as run:
        run.spend(boundary(10**9))
        assert not run.exhausted
        await run.finish()
    assert not guard.degraded
    await nowhere.aclose()


async def test_closing_waits_for_what_is_being_told(own_valkey: EmbeddedValkey, books: Books) -> None:
    """Else it would open a connection once they are closed, and nobody closes that one."""
    client = client_from_url(own_valkey.url, timeout_s=5)
    guard = QuotaGuard(QuotaStore(client), books)
    run = await guard.enter(principal(tokens_per_day=100))
    run.spend(boundary(1))
    await guard.aclose()
    await client.aclose()
    await run.finish()
    async with client_from_url(own_valkey.url, timeout_s=5) as watching:
        assert [link["id"] for link in await watching.client_list()] == [str(await watching.client_id())]


@pytest.mark.own_server
async def test_redis_killed_in_the_middle(own_valkey: EmbeddedValkey, books: Books) -> None:
    """Rates become this process's share, spending goes on for the grace and then not; then all is well."""
    now = [0.0]
    client = client_from_url(own_valkey.url, timeout_s=1)
    guard = QuotaGuard(QuotaStore(client), books, processes=2, grace_s=30, clock=lambda: now[0])
    rate = principal(requests_per_minute=60, burst=10)
    spender = principal(tokens_per_day=100, concurrent_runs=4)
    await guard.request(rate)
    async with guard.run(spender) as run:
        own_valkey.kill()
        run.spend(boundary(60))
        await run.finish()
        seen = [guard.degraded]
        answers = await asyncio.gather(*(guard.request(rate) for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(answer, QuotaExceededError) for answer in answers) == 15
        now[0] = 29.0
        async with AsyncExitStack() as stack:
            held = [await hold(stack, guard, spender) for _ in range(4)]
            assert held == [None, None, "concurrent-runs", "concurrent-runs"]
        now[0] = 31.0
        with pytest.raises(QuotasUnavailableError):
            async with guard.run(spender):
                pass
        own_valkey.start()
        now[0] = 33.0
        books.used_of[spender.tenant.tenant_id] = Used(0, 0, today(), 60, 0)
        async with guard.run(spender) as again:
            seen.append(guard.degraded)
            standing = again.decision.standing("tokens-per-day")
            assert standing is not None
            assert standing.remaining == 40
    assert seen == [True, False]
    await guard.aclose()
    await client.aclose()


async def test_without_redis_postgres_is_asked(books: Books) -> None:
    """A deployment that has none on purpose is slower, not blind."""
    guard = QuotaGuard(None, books)
    who = principal(tokens_per_day=100, threads=3, requests_per_minute=60, burst=3)
    async with guard.run(who) as run:
        assert run.no_new_thread is None
    books.used_of[who.tenant.tenant_id] = Used(3, 0, today(), 99, 0)
    async with guard.run(who) as run:
        assert run.no_new_thread is not None
        run.spend(boundary(1))
        assert run.exhausted
    books.used_of[who.tenant.tenant_id] = Used(3, 0, today(), 100, 0)
    with pytest.raises(QuotaExceededError, match="tokens"):
        async with guard.run(who):
            pass
    assert not guard.degraded


async def test_runs_are_counted_for_as_long_as_there_are_some(guard: QuotaGuard, redis: Redis) -> None:
    """Also when there was never a moment without one: each that begins keeps the count for longer."""
    who = principal(concurrent_runs=9, threads=9)
    key = allowance_of(who).keys[2]
    async with guard.run(who):
        await redis.pexpire(key, 60_000)
        async with guard.run(who):
            assert await redis.pttl(key) > 60_000


async def test_who_gives_up_while_entering_leaves_no_run_behind(guard: QuotaGuard) -> None:
    """Whenever that is: Redis may have counted the run already."""
    who = principal(concurrent_runs=1)
    for steps in range(40):
        entering = asyncio.create_task(guard.enter(who))
        for _ in range(steps):
            await asyncio.sleep(0)
        entering.cancel()
        [entered] = await asyncio.gather(entering, return_exceptions=True)
        if isinstance(entered, Run):
            await guard.leave(entered)
    await guard.aclose()
    async with AsyncExitStack() as stack:
        assert await hold(stack, guard, who) is None


async def test_limits_of_keys_do_not_mix(guard: QuotaGuard, books: Books) -> None:
    """A key with less than its tenant does not end the others' runs, nor goes on with what they have."""
    tenant_id = uuid.uuid4()
    wide = principal(tenant_id, tokens_per_day=1000)
    narrow = principal(tenant_id, Limits(tokens_per_day=100), tokens_per_day=1000)
    books.used_of[tenant_id] = Used(0, 0, today(), 40, 0)
    async with guard.run(wide) as much, guard.run(narrow) as little:
        much.spend(boundary(60))
        assert [much.exhausted, little.exhausted] == [False, True]
        await much.finish()
        assert [much.exhausted, little.exhausted] == [False, True]
        async with AsyncExitStack() as stack:
            assert await hold(stack, guard, narrow) == "tokens-per-day"
        assert [much.exhausted, little.exhausted] == [False, True]


async def test_what_is_spent_while_telling_counts(guard: QuotaGuard) -> None:
    """The answer to what was told knows nothing of it; the others hear of it next."""
    who = principal(tokens_per_day=100)
    async with guard.run(who) as run:
        run.spend(boundary(60))
        await asyncio.sleep(0)  # it is being told
        run.spend(boundary(60))
        await run.finish()
        assert run.exhausted
        async with AsyncExitStack() as stack:
            assert await hold(stack, guard, who) == "tokens-per-day"


@pytest.mark.own_server
async def test_what_could_not_be_told_is_asked_of_postgres(own_valkey: EmbeddedValkey, books: Books) -> None:
    """A Redis that answers again, with all it had, does not know of what was spent meanwhile."""
    now = [0.0]
    client = client_from_url(own_valkey.url, timeout_s=5)
    guard = QuotaGuard(QuotaStore(client), books, clock=lambda: now[0])
    who = principal(tokens_per_day=100)
    async with guard.run(who) as run:
        await client.config_set("maxmemory", 1)  # it refuses to write
        run.spend(boundary(60))
        await run.finish()
        assert guard.degraded
        await client.config_set("maxmemory", 0)
        now[0] = 2.0
    books.used_of[who.tenant.tenant_id] = Used(0, 0, today(), 60, 0)
    async with guard.run(who) as again:
        standing = again.decision.standing("tokens-per-day")
        assert standing is not None
        assert standing.remaining == 40
    await guard.aclose()
    await client.aclose()


async def test_a_count_that_is_always_forgotten_lets_nobody_overspend(redis: Redis, books: Books) -> None:
    """Such as while threads are deleted one after the other: what Postgres said last holds."""
    who = principal(tokens_per_day=100)
    books.used_of[who.tenant.tenant_id] = Used(0, 0, today(), 100, 0)
    guard = QuotaGuard(QuotaStore(redis, keep_s=0), books)  # Redis forgets at once
    async with AsyncExitStack() as stack:
        assert await hold(stack, guard, who) == "tokens-per-day"


async def test_trust_begins_when_redis_is_missed(books: Books) -> None:
    """However long nobody had anything to ask it."""
    now = [0.0]
    nowhere = client_from_url("redis://127.0.0.1:1/0", timeout_s=1)
    guard = QuotaGuard(QuotaStore(nowhere), books, grace_s=30, clock=lambda: now[0])
    who = principal(tokens_per_day=100)
    now[0] = 1000.0
    async with AsyncExitStack() as stack:
        assert await hold(stack, guard, who) is None
        now[0] = 1029.0
        assert await hold(stack, guard, who) is None
        now[0] = 1031.0
        with pytest.raises(QuotasUnavailableError):
            await hold(stack, guard, who)
    await guard.aclose()
    await nowhere.aclose()


async def test_without_redis_a_days_quota_is_there_again_with_the_next_day(books: Books) -> None:
    """Not a whole day later."""
    who = principal(tokens_per_day=100)
    books.used_of[who.tenant.tenant_id] = Used(0, 0, today(), 100, 0)
    before_s = 86400 - time.time() % 86400
    with pytest.raises(QuotaExceededError) as refused:
        await QuotaGuard(None, books).enter(who)
    after_s = 86400 - time.time() % 86400
    assert after_s <= refused.value.retry_after_s <= before_s or after_s > before_s


def today() -> int:
    return int(time.time()) // 86400
