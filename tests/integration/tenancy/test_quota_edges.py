"""Quotas at their edges, on a real Valkey: several used up at once, midnight, forgetting, lost ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from agentflow.storage.checkpointer.cache import client_from_url
from agentflow_embedded import EmbeddedValkey
from agentflow_tenancy import Limits, QuotaExceededError, QuotaGuard, QuotaStore
from agentflow_tenancy.allowance import allowance_of
from agentflow_tenancy.quota_store import Spent, Unseeded
from agentflow_tenancy.quotas import Decision, Used
from tests.integration.tenancy.test_quotas import Books, boundary, hold, principal, today


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = client_from_url(redis_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
def books() -> Books:
    return Books()


async def test_of_several_that_are_used_up_the_longest_counts(redis: Redis, books: Books) -> None:
    """Who waits as long as it is told is let in."""
    guard = QuotaGuard(QuotaStore(redis), books)
    who = principal(None, Limits(requests_per_minute=1, burst=1), requests_per_minute=60, burst=1)
    await guard.request(who)
    with pytest.raises(QuotaExceededError, match="key-requests") as refused:
        await guard.request(who)
    assert 59 < refused.value.retry_after_s <= 60
    standing = refused.value.decision.standing("requests")
    assert standing is not None
    assert standing.remaining == 0
    who = principal(concurrent_runs=0, threads=0, tokens_per_day=0)
    with pytest.raises(QuotaExceededError, match="tokens-per-day"):
        await guard.enter(who)


async def test_a_count_that_is_forgotten_while_postgres_is_asked(redis: Redis) -> None:
    """What Postgres said before somebody had it forgotten may be too old: it is asked again."""
    store, who = QuotaStore(redis), principal(threads=10)
    allowance = allowance_of(who)
    unseeded = await store.take_run(allowance, "a", may_make_thread=True)
    assert isinstance(unseeded, Unseeded)
    old = Used(1, 0, today(), 0, 0)
    await store.spend(allowance, "b", Spent(threads=1), may_make_thread=False)  # after Postgres was asked
    await store.forget(allowance)
    anew = await store.take_run(allowance, "c", may_make_thread=True)
    assert isinstance(anew, Unseeded)
    await store.seed(allowance, unseeded, old)
    assert isinstance(await store.take_run(allowance, "a", may_make_thread=True), Unseeded)
    await store.seed(allowance, anew, Used(2, 0, today(), 0, 0))
    taken = await store.take_run(allowance, "a", may_make_thread=True)
    assert isinstance(taken, Decision)
    standing = taken.standing("threads")
    assert standing is not None
    assert standing.remaining == 7


async def test_midnight(redis: Redis, books: Books) -> None:
    """A run that goes on into the next day has that day's tokens; without Redis, too."""
    now = [86_400.0 * 20_000 - 1]
    guard = QuotaGuard(QuotaStore(redis), books, wall_clock=lambda: now[0])
    who = principal(tokens_per_day=100)
    async with guard.run(who) as run:
        run.spend(boundary(100))
        seen = [run.exhausted]
        now[0] += 1
        seen.append(run.exhausted)
        for tokens in (99, 1):
            run.spend(boundary(tokens))
            seen.append(run.exhausted)
        await run.finish()
    assert seen == [True, False, False, True]


@pytest.mark.own_server
async def test_runs_that_ended_while_redis_was_paused(own_valkey: EmbeddedValkey, books: Books) -> None:
    """It counts those that asked it meanwhile once it goes on: they are taken back, not waited for."""
    now = [0.0]
    client = client_from_url(own_valkey.url, timeout_s=0.3)
    guard = QuotaGuard(QuotaStore(client), books, clock=lambda: now[0])
    who = principal(concurrent_runs=4, tokens_per_day=1000)
    async with guard.run(who):
        pass
    own_valkey.pause()
    async with AsyncExitStack() as stack:
        held = await asyncio.gather(*(hold(stack, guard, who) for _ in range(8)))
        assert held.count(None) == 4
    own_valkey.resume()
    now[0] = 2.0
    await guard.request(principal(requests_per_minute=60))
    await guard.aclose()
    other = QuotaGuard(QuotaStore(client), books)
    async with AsyncExitStack() as stack:
        assert [await hold(stack, other, who) for _ in range(5)] == [None] * 4 + ["concurrent-runs"]
    await other.aclose()
    await client.aclose()


async def test_a_run_that_waits(redis: Redis, books: Books) -> None:
    """Needs room for what it will spend, not for itself, and holds nothing."""
    guard = QuotaGuard(QuotaStore(redis), books)
    who = principal(concurrent_runs=1, threads=1, tokens_per_day=100, requests_per_minute=60, burst=9)
    async with guard.run(who):
        for left in (7, 6):
            queued = await guard.queued(who)
            standing = queued.decision.standing("requests")
            assert standing is not None
            assert standing.remaining == left
            assert queued.no_new_thread is not None  # the one that runs may make the last one
    assert (await guard.queued(who)).no_new_thread is None
    async with guard.run(who) as run:
        assert run.no_new_thread is None
        run.spend(boundary(100, begins_thread=True))
    with pytest.raises(QuotaExceededError, match="tokens-per-day"):
        await guard.queued(who)
