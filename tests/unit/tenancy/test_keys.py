"""API keys and who they stand for."""

import asyncio
import secrets
import string
import uuid
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_tenancy import (
    ALL_SCOPES,
    THREADS_READ,
    Authenticator,
    CredentialError,
    ForbiddenError,
    Principal,
    Tenant,
    TenantLeavingError,
    TenantRepository,
    TenantSuspendedError,
    new_api_key,
    parse_api_key,
)
from agentflow_tenancy.tenants import KeyRecord

PEPPER = b"p" * 32
ALPHABET = string.ascii_letters + string.digits


def test_a_key_reads_back() -> None:
    """Its parts are in its text; its text is in no repr."""
    key = new_api_key()
    assert key.text.startswith(f"af_live_{key.key_id}_")
    assert parse_api_key(key.text) == key
    assert key.text not in repr(key)
    assert len({new_api_key().text for _ in range(100)}) == 100


@given(st.integers(min_value=0), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_seen(place: int, character: str) -> None:
    """Without any look-up, wherever it is."""
    text = new_api_key().text
    place %= len(text)
    changed = text[:place] + character + text[place + 1 :]
    if changed != text:
        with pytest.raises(CredentialError):
            parse_api_key(changed)


@pytest.mark.parametrize(
    "text", ["", "af_live_", "Bearer x", "x" * 10_000, "af_live_\u0661" + "a" * 50, "\0"]
)
def test_what_is_no_key(text: str) -> None:
    """Refused, and not repeated in the refusal."""
    with pytest.raises(CredentialError) as refused:
        parse_api_key(text)
    assert not text or text not in str(refused.value)


def test_digests_depend_on_the_pepper() -> None:
    """A copy of the table is worth nothing without it."""
    key = new_api_key()
    assert key.digest(b"a" * 32) != key.digest(b"b" * 32)
    assert len(key.digest(PEPPER)) == 32


@dataclass
class Keys:
    """The one question an authenticator asks a repository, answered from a dict."""

    records: dict[str, KeyRecord] = field(default_factory=dict)
    asked: int = 0

    async def is_ended(self, _: bytes) -> bool:
        return False

    async def find_key(self, key_id: str) -> KeyRecord | None:
        self.asked += 1
        return self.records.get(key_id)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def setup(state: str = "active", **changes: Any) -> tuple[Authenticator, Keys, Clock, str]:
    tenant = Tenant(uuid.uuid4(), "acme", state, 3, 7, None, "memory")
    key = new_api_key()
    record = KeyRecord(
        Principal(tenant, key.key_id, frozenset(ALL_SCOPES)), key.digest(PEPPER), revoked=False, expired=False
    )
    keys, clock = Keys({key.key_id: replace(record, **changes)}), Clock()
    return Authenticator(cast("TenantRepository", keys), PEPPER, clock=clock), keys, clock, key.text


async def test_a_good_key_is_remembered_for_less_than_a_second() -> None:
    """And asked for again afterwards, so that a revoked one ends."""
    authenticator, keys, clock, text = setup()
    for clock.now in (0.0, 0.5, 0.79):
        assert (await authenticator.authenticate(text)).tenant.slug == "acme"
    assert keys.asked == 1
    clock.now = 0.99
    (key_id,) = keys.records
    keys.records[key_id] = replace(keys.records[key_id], revoked=True)
    with pytest.raises(CredentialError):
        await authenticator.authenticate(text)
    assert keys.asked == 2


async def test_the_principal_is_the_keys() -> None:
    """Tenant, placement and epoch come from the stored key."""
    authenticator, _, _, text = setup()
    scope = (await authenticator.authenticate(text)).scope
    assert (scope.placement, scope.epoch, scope.principal) == (3, 7, None)


@pytest.mark.parametrize("changes", [{"revoked": True}, {"expired": True}, {"digest": b"x" * 32}], ids=str)
async def test_refusals_are_alike(changes: dict[str, Any]) -> None:
    """Revoked, expired, wrong secret, unknown: the same words, and no refusal is remembered."""
    authenticator, keys, _, text = setup(**changes)
    with pytest.raises(CredentialError) as refused:
        await authenticator.authenticate(text)
    with pytest.raises(CredentialError) as unknown:
        await authenticator.authenticate(new_api_key().text)
    assert str(refused.value) == str(unknown.value)
    with pytest.raises(CredentialError):
        await authenticator.authenticate(text)
    # A good key is remembered also when somebody else presents its id.
    assert keys.asked == (2 if "digest" in changes else 3)


async def test_a_suspended_tenant_is_told() -> None:
    """403, not 401: the key is good."""
    authenticator, _, _, text = setup("suspended")
    with pytest.raises(TenantSuspendedError):
        await authenticator.authenticate(text)


async def test_memory_is_bounded() -> None:
    """However many keys there are."""
    authenticator, keys, _, _ = setup()
    (record,) = keys.records.values()
    small = Authenticator(cast("TenantRepository", keys), PEPPER, most_remembered=10, clock=Clock())
    for _ in range(50):
        key = new_api_key()
        keys.records[key.key_id] = replace(record, digest=key.digest(PEPPER))
        await small.authenticate(key.text)
    assert len(small._records) == 10
    assert authenticator is not small


def test_scopes_are_insisted_on() -> None:
    """A right the key lacks is named."""
    tenant = Tenant(uuid.uuid4(), "acme", "active", 1, 1, None, "memory")
    principal = Principal(tenant, secrets.token_hex(6), frozenset())
    with pytest.raises(ForbiddenError, match=THREADS_READ):
        principal.require(THREADS_READ)


async def test_many_at_once() -> None:
    """Askers that come together are all answered right."""
    authenticator, _, _, text = setup()
    principals = await asyncio.gather(*(authenticator.authenticate(text) for _ in range(50)))
    assert {principal.key_id for principal in principals} == {parse_api_key(text).key_id}


async def test_a_tenant_that_leaves_is_told() -> None:
    """410, not 401: the key is good; its own routes of leaving let it in."""
    authenticator, _, _, text = setup("offboarding")
    for _ in range(2):
        with pytest.raises(TenantLeavingError):
            await authenticator.authenticate(text)
        assert (await authenticator.authenticate(text, may_leave=True)).tenant.state == "offboarding"
