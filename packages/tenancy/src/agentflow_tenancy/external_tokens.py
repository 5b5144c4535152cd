"""Checking tokens of issuers that tenants trust."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from jwt import PyJWK

from agentflow_tenancy.authenticator import check_active
from agentflow_tenancy.errors import JwksUnavailableError
from agentflow_tenancy.issuers import Issuer, IssuerRepository, TrustedIssuer
from agentflow_tenancy.jwk_sets import JwkSet, JwkSetError, jwk_set
from agentflow_tenancy.jwks_fetcher import JwksFetcher
from agentflow_tenancy.lookups import Lookups
from agentflow_tenancy.tenants import USER_SCOPES, Principal
from agentflow_tenancy.token_reading import Claimed, refused, user_of, verified, words

logger = logging.getLogger("agentflow.tenancy")

_REQUIRED: Final = ("exp", "iss", "aud", "sub")

# Keys are fetched anew after ten minutes, or when a token names one that is not among them; but a fetch,
# also a failed one, is the only one of its issuer for a while. Old keys go on for a day without new ones.
_FRESH_S: Final = 600.0
_FETCH_EVERY_S: Final = 5.0
_STALE_S: Final = 86_400.0
_MOST: Final = 1000


@dataclass(slots=True)
class _Held:
    """What is known of one issuer's keys."""

    issuer: Issuer
    keys: JwkSet | None = None
    fetched_at: float = 0.0
    tried_at: float | None = None
    fetching: asyncio.Task[None] | None = None


class IssuerKeys:
    """Keys of trusted issuers, as this process fetched them last. Of one event loop."""

    def __init__(self, fetcher: JwksFetcher, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is fetched yet."""
        self._fetcher = fetcher
        self._clock = clock
        self._held: OrderedDict[UUID, _Held] = OrderedDict()

    async def find(self, issuer: Issuer, says: Claimed) -> PyJWK | None:
        """The key that a token names; None when the issuer has no such key, or its keys cannot be had."""
        held = self._of(issuer)
        if held.keys is None or self._is_older(held, _FRESH_S):
            await self._fetch(held)
        found = _found(held, says)
        if found is None:
            await self._fetch(held)
            found = _found(held, says)
        return found

    def _of(self, issuer: Issuer) -> _Held:
        held = self._held.get(issuer.issuer_id)
        if held is None:
            held = self._held[issuer.issuer_id] = _Held(issuer)
            if issuer.jwks is not None:
                held.keys = _static(issuer.jwks)
            if len(self._held) > _MOST:
                self._held.popitem(last=False)
        return held

    def _is_older(self, held: _Held, age_s: float) -> bool:
        return self._clock() >= held.fetched_at + age_s

    async def _fetch(self, held: _Held) -> None:
        """Fetch, or wait for who does; nothing when that was just done, or the keys are given."""
        if held.issuer.jwks_uri is None:
            return
        if held.fetching is None:
            if held.tried_at is not None and self._clock() < held.tried_at + _FETCH_EVERY_S:
                return
            held.tried_at = self._clock()
            task = asyncio.get_running_loop().create_task(self._fetched(held, held.issuer.jwks_uri))
            held.fetching = task
        await asyncio.shield(held.fetching)

    async def _fetched(self, held: _Held, uri: str) -> None:
        try:
            held.keys = await self._fetcher.fetch(uri)
            held.fetched_at = self._clock()
        except JwksUnavailableError as error:
            issuer_id, reason = held.issuer.issuer_id, error.__cause__ or error
            logger.warning("Tokens of issuer %s cannot be checked: %s", issuer_id, reason)
            if self._is_older(held, _STALE_S):
                held.keys = None
        finally:
            held.fetching = None


class ExternalTokens:
    """Checks tokens of registered issuers; the pair of issuer and audience alone names the tenant."""

    def __init__(
        self,
        repository: IssuerRepository,
        keys: IssuerKeys,
        *,
        remember_s: float = 0.8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is remembered yet."""
        self._keys = keys
        self._repository = repository
        self._trusted: Lookups[tuple[str, str], TrustedIssuer | None] = Lookups(
            self._find, worth=lambda found: found is not None, remember_s=remember_s, most=10_000, clock=clock
        )

    async def authenticate(self, token: str, says: Claimed) -> Principal:
        """The principal of a token: a user of the tenant that trusts its issuer for its audience.

        Raises:
            CredentialError: Nobody trusts it, or it is not signed, ended or for somebody else.
            TenantSuspendedError, StoreUnavailableError: See `Authenticator`.

        No round trip while issuer and keys are remembered.
        """
        trusted = await self._of((says.issuer, says.audience))
        issuer = trusted.issuer
        key = await self._keys.find(issuer, says) if says.algorithm in issuer.algorithms else None
        if key is None:
            raise refused()
        claims = verified(
            token,
            key,
            algorithm=says.algorithm,
            issuer=issuer.issuer,
            audience=issuer.audience,
            required=_REQUIRED,
        )
        # Not before the signature: who is suspended is nobody else's business.
        return _bound(_active(trusted), issuer, claims)

    async def principal_of(self, issued_by: tuple[str, str], *, within_s: float | None = None) -> Principal:
        """What an issuer's tokens act as now.

        Raises:
            CredentialError, TenantSuspendedError, StoreUnavailableError: As `authenticate`.
        """
        return _active(await self._of(issued_by, within_s=within_s))

    async def _find(self, pair: tuple[str, str]) -> TrustedIssuer | None:
        return await self._repository.find(*pair)

    async def _of(self, pair: tuple[str, str], *, within_s: float | None = None) -> TrustedIssuer:
        found = await self._trusted.get(pair, within_s=within_s)
        if found is None:
            raise refused()
        return found


def _active(trusted: TrustedIssuer) -> Principal:
    check_active(trusted.principal.tenant)
    return trusted.principal


def _bound(principal: Principal, issuer: Issuer, claims: dict[str, Any]) -> Principal:
    granted = principal.scopes & frozenset(USER_SCOPES)
    if issuer.scope_claim is not None:
        granted &= words(claims.get(issuer.scope_claim))
    return replace(principal, scopes=granted, user_id=user_of(claims.get(issuer.user_claim)))


def _found(held: _Held, says: Claimed) -> PyJWK | None:
    return None if held.keys is None else held.keys.find(says.kid, says.algorithm)


def _static(jwks: Any) -> JwkSet | None:
    try:
        return jwk_set(jwks)
    except JwkSetError:  # registered by an older version, which took more
        return None
