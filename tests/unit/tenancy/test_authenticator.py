"""What an authenticator remembers, and for how long: by a clock and a repository that the test moves."""

import asyncio
import uuid
from dataclasses import replace
from typing import cast

import pytest

from agentflow.errors import StoreUnavailableError
from agentflow_tenancy import (
    ALL_SCOPES,
    Authenticator,
    CredentialError,
    Principal,
    TenancyError,
    Tenant,
    TenantRepository,
    TenantSuspendedError,
    new_api_key,
)
from agentflow_tenancy.tenants import KeyRecord

PEPPER = b"p" * 32


class Service:
    """One key, its authenticator, and a database that can be away."""

    def __init__(self) -> None:
        self.now = 0.0
        self.is_away = False
        key = new_api_key()
        self.text = key.text
        tenant = Tenant(uuid.uuid4(), "acme", "active", 3, 7, None, "memory")
        principal = Principal(tenant, key.key_id, frozenset(ALL_SCOPES))
        self.record = KeyRecord(principal, key.digest(PEPPER), revoked=False, expired=False)
        self._authenticator = Authenticator(cast("TenantRepository", self), PEPPER, clock=lambda: self.now)

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """As the repository."""
        if self.is_away:
            raise StoreUnavailableError("Postgres did not answer.")
        return self.record

    async def ask(self, at: float | None = None) -> Principal:
        """Present the key, and let what this started in the background get as far as it can."""
        self.now = self.now if at is None else at
        try:
            return await self._authenticator.authenticate(self.text)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)

    async def outcome(self, at: float) -> type[Exception] | None:
        """What asking raises."""
        try:
            await self.ask(at)
        except TenancyError as error:
            return type(error)
        return None

    def revoke(self) -> None:
        self.record = replace(self.record, revoked=True)

    def suspend(self) -> None:
        tenant = replace(self.record.principal.tenant, state="suspended")
        self.record = replace(self.record, principal=replace(self.record.principal, tenant=tenant))


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.mark.parametrize("refusal", [CredentialError, TenantSuspendedError])
@pytest.mark.parametrize("ended_at", [step / 20 for step in range(1, 21)])
async def test_who_is_no_longer_good_ends_within_a_second(
    service: Service, refusal: type[Exception], ended_at: float
) -> None:
    """However often the key is used, and wherever in its memory's life that falls."""
    for step in range(round(ended_at * 20)):
        await service.ask(step / 20)
    service.suspend() if refusal is TenantSuspendedError else service.revoke()
    outcomes = [await service.outcome(ended_at + step / 20) for step in range(20)]
    assert outcomes[-1] is refusal
    assert outcomes == sorted(outcomes, key=lambda outcome: outcome is refusal), (
        "refused once, refused for good"
    )


async def test_without_postgres_nobody_is_let_in_for_long(service: Service) -> None:
    """0.8 s after the last answer the caller is told to come again; afterwards all is as before."""
    await service.ask(0.0)
    service.is_away = True
    for now in (0.3, 0.5, 0.79):
        assert (await service.ask(now)).tenant.slug == "acme"
    for now in (0.81, 1.5, 60.0):
        with pytest.raises(StoreUnavailableError):
            await service.ask(now)
    service.is_away = False
    assert (await service.ask(61.0)).tenant.slug == "acme"


async def test_a_key_that_proved_itself_must_again_when_what_is_stored_changes(service: Service) -> None:
    """Another secret under the same id, another pepper: what was proved before counts for nothing."""
    await service.ask(0)
    await service.ask(0.1)
    service.record = replace(service.record, digest=new_api_key().digest(PEPPER))
    assert await service.outcome(2) is CredentialError
    assert await service.outcome(2.1) is CredentialError


async def test_another_secret_of_a_key_in_use_is_refused(service: Service) -> None:
    """While the right one is remembered, and afterwards the right one still works."""
    good = service.text
    await service.ask(0)
    stranger = new_api_key()
    service.text = stranger.text
    for at in (0.1, 0.2):
        assert await service.outcome(at) is CredentialError
    service.text = good
    assert await service.outcome(0.3) is None


async def test_what_cannot_be_encoded_is_no_key(service: Service) -> None:
    service.text = "af_live_\udcff"
    assert await service.outcome(0) is CredentialError
