"""Open answers end with what let their readers in."""

import asyncio
import uuid

import pytest

from agentflow.errors import StoreUnavailableError
from agentflow_api.http.gatekeeper import Gatekeeper
from agentflow_tenancy import CredentialError, Principal, Tenant


def principal(key_id: str = "k") -> Principal:
    tenant = Tenant(uuid.UUID(int=1), "t", "active", 1, 1, None, "memory")
    return Principal(tenant, key_id, frozenset())


class Checks:
    """Does what it is told for each key, one time after the other; then lets everybody in."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[str] = []
        self.done = asyncio.Event()

    async def __call__(self, who: Principal) -> None:
        self.asked.append(who.key_id)
        outcome = self.outcomes.pop(0) if self.outcomes and who.key_id == "k" else None
        if not self.outcomes:
            self.done.set()
        if outcome is not None:
            raise outcome


async def test_a_gate_is_shut_and_says_so() -> None:
    """Every gate of the credential, and of no other; also to who asks late."""
    keeper = Gatekeeper(Checks(None, CredentialError("revoked")), every_s=0.001)
    opened = keeper.opened
    with opened(principal()) as gate, opened(principal()) as twin, opened(principal("other")) as other:
        shut, late = asyncio.Event(), asyncio.Event()
        gate.on_shut(shut.set)
        gate.check()
        await shut.wait()
        for one in (gate, twin):
            with pytest.raises(CredentialError):
                one.check()
        other.check()
        twin.on_shut(late.set)
        assert late.is_set()
    await keeper.aclose()


async def test_an_outage_shuts_nothing() -> None:
    """Without the store nothing is known of anybody."""
    checks = Checks(StoreUnavailableError("away"), None)
    keeper = Gatekeeper(checks, every_s=0.001)
    with keeper.opened(principal()) as gate:
        await checks.done.wait()
        gate.check()
    await keeper.aclose()


async def test_one_question_for_all_of_a_credential() -> None:
    """Whatever the number of gates."""
    checks = Checks(None)
    keeper = Gatekeeper(checks, every_s=0.001)
    gates = [keeper.opened(principal()) for _ in range(50)]
    for gate in gates:
        gate.__enter__()
    await checks.done.wait()
    assert len(checks.asked) <= 2
    for gate in gates:
        gate.__exit__(None, None, None)
    await keeper.aclose()


async def test_one_that_takes_long_keeps_no_other_open() -> None:
    """Credentials are asked about side by side."""
    release = asyncio.Event()

    async def recheck(who: Principal) -> None:
        if who.key_id == "slow":
            await release.wait()
        else:
            raise CredentialError("revoked")

    keeper = Gatekeeper(recheck, every_s=0.001)
    with keeper.opened(principal("slow")) as slow, keeper.opened(principal()) as gate:
        shut = asyncio.Event()
        gate.on_shut(shut.set)
        async with asyncio.timeout(30):
            await shut.wait()
        slow.check()
        release.set()
    await keeper.aclose()
