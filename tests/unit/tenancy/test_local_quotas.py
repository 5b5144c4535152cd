"""A process's own share of rates and runs, on a clock that the test moves."""

import uuid

from agentflow_tenancy import Limits, Principal, Tenant
from agentflow_tenancy.allowance import Allowance, allowance_of
from agentflow_tenancy.local_quotas import LocalQuotas


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def allowance(tenant_id: uuid.UUID, *, key: Limits | None = None, **limits: int) -> Allowance:
    tenant = Tenant(tenant_id, "t", "active", 1, 1, None, "memory", limits=Limits(**limits))
    return allowance_of(Principal(tenant, "k", frozenset(), limits=key or Limits()))


def let_in(quotas: LocalQuotas, asked: Allowance, times: int) -> int:
    return sum(quotas.take(asked).allowed for _ in range(times))


def test_a_burst_then_a_steady_rate() -> None:
    """Of its burst at once, then one each interval, and all of the burst again after a rest."""
    clock, tenant = Clock(), uuid.uuid4()
    quotas, asked = LocalQuotas(1, clock=clock), allowance(tenant, requests_per_minute=60, burst=5)
    assert let_in(quotas, asked, 20) == 5
    assert 0.99 < quotas.take(asked).retry_after_s <= 1
    for _ in range(100):
        clock.now += 1
        assert let_in(quotas, asked, 3) == 1
    clock.now += 60
    assert let_in(quotas, asked, 20) == 5


def test_a_share_of_several() -> None:
    """Processes that each give their part let in what is allowed in all, and at least one request."""
    clock, tenant = Clock(), uuid.uuid4()
    processes = [LocalQuotas(4, clock=clock) for _ in range(4)]
    asked = allowance(tenant, requests_per_minute=60, burst=20)
    assert sum(let_in(quotas, asked, 50) for quotas in processes) == 20
    let = 0
    for _ in range(80):
        clock.now += 0.75
        let += sum(let_in(quotas, asked, 50) for quotas in processes)
    assert 56 <= let <= 60
    assert let_in(processes[0], allowance(uuid.uuid4(), requests_per_minute=60, burst=1), 5) == 1


def test_another_rate_keeps_the_number_behind() -> None:
    """A raised limit helps at once; a lowered one holds at once."""
    clock, tenant = Clock(), uuid.uuid4()
    quotas = LocalQuotas(1, clock=clock)
    assert let_in(quotas, allowance(tenant, requests_per_minute=1, burst=2), 9) == 2
    assert let_in(quotas, allowance(tenant, requests_per_minute=6000, burst=5), 9) == 3
    assert let_in(quotas, allowance(tenant, requests_per_minute=1, burst=2), 9) == 0
    assert let_in(quotas, allowance(tenant, requests_per_minute=0), 9) == 0


def test_refused_by_the_key_takes_nothing_of_the_tenant() -> None:
    """And refused for a run, nothing of either."""
    clock, tenant = Clock(), uuid.uuid4()
    quotas = LocalQuotas(1, clock=clock)
    narrow = allowance(tenant, key=Limits(requests_per_minute=1, burst=1), requests_per_minute=1, burst=3)
    wide = allowance(tenant, requests_per_minute=1, burst=3, concurrent_runs=0)
    assert let_in(quotas, narrow, 9) == 1
    assert quotas.take(narrow).quota == "key-requests"
    assert {quotas.take(wide, f"run {i}").quota for i in range(9)} == {"concurrent-runs"}
    assert let_in(quotas, wide, 9) == 2


def test_runs_end() -> None:
    """A place is free again when its run is over, also when that is said twice."""
    quotas, asked = LocalQuotas(1), allowance(uuid.uuid4(), concurrent_runs=2)
    assert [quotas.take(asked, token).allowed for token in "abc"] == [True, True, False]
    quotas.end(asked, "a")
    quotas.end(asked, "a")
    assert [quotas.take(asked, token).allowed for token in "de"] == [True, False]


def test_refused_leaves_nothing_behind() -> None:
    """However many tenants are refused: nothing of them is remembered."""
    quotas = LocalQuotas(1)
    for _ in range(3):
        assert not quotas.take(allowance(uuid.uuid4(), concurrent_runs=0), "a").allowed
    assert quotas.remembered == 0
