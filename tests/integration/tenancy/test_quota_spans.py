"""What quotas decide is told, for whom, and of which; a refusal is no error of the question."""

import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from agentflow.storage.checkpointer.cache import client_from_url
from agentflow.utils import span_names as names
from agentflow_tenancy import Limits, Principal, QuotaExceededError, QuotaGuard, QuotaStore, Tenant
from agentflow_tenancy.quotas import Used
from tests.support.telling import telling


class Books:
    """What Postgres would know."""

    async def used(self, _tenant_id: uuid.UUID) -> Used:
        return Used(0, 0, 0, 0, 0)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = client_from_url(redis_url, timeout_s=5)
    yield client
    await client.aclose()


def principal(**limits: int) -> Principal:
    tenant = Tenant(uuid.uuid4(), "t", "active", 1, 1, None, "memory", limits=Limits(**limits))
    return Principal(tenant, "k:1", frozenset())


async def test_decisions_are_told(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allowed by what was asked, rejected by who refused; where nothing is limited nothing is asked."""
    guard = QuotaGuard(QuotaStore(redis), Books())
    limited = principal(requests_per_minute=2, concurrent_runs=5)
    with telling(monkeypatch) as told:
        await guard.request(limited)
        async with guard.run(limited):
            with pytest.raises(QuotaExceededError):
                await guard.request(limited)
        await guard.request(principal())
    await guard.aclose()
    assert told.said("quota.check", names.QUOTA) == ["requests", "concurrent-runs", "requests"]
    assert told.said("quota.check", names.DECISION) == ["allowed", "allowed", "rejected"]
    assert set(told.said("quota.check", names.TENANT)) == {str(limited.tenant.tenant_id)}
    assert all(span.status.is_unset for span in told.named("quota.check"))


async def test_a_refused_thread_is_told_when_it_is_refused(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is let in for the threads that are there; a new one is refused later."""
    guard = QuotaGuard(QuotaStore(redis), Books())
    full = principal(threads=0)
    with telling(monkeypatch) as told:
        async with guard.run(full) as run:
            with pytest.raises(QuotaExceededError):
                run.refuse_new_thread()
    await guard.aclose()
    assert told.said("quota.check", names.QUOTA) == ["concurrent-runs", "threads"]
    assert told.said("quota.check", names.DECISION) == ["allowed", "rejected"]


async def test_what_nobody_can_count_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer from Redis it is let in unchecked."""
    client = client_from_url("redis://127.0.0.1:1/0", timeout_s=0.2)
    guard = QuotaGuard(QuotaStore(client), Books())
    with telling(monkeypatch) as told:
        await guard.request(principal(requests_per_minute=100))
    await guard.aclose()
    await client.aclose()
    assert told.said("quota.check", names.DECISION) == ["unchecked"]
