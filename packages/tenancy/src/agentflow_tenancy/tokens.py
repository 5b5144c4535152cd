"""Short tokens for browsers: minted from an API key, checked without a round trip."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import jwt

from agentflow_tenancy.authenticator import Authenticator
from agentflow_tenancy.errors import CredentialError, ForbiddenError
from agentflow_tenancy.external_tokens import ExternalTokens
from agentflow_tenancy.signing_keys import ALGORITHM, SigningKeys
from agentflow_tenancy.tenants import TOKEN_SCOPES, USER_SCOPES, Principal
from agentflow_tenancy.token_reading import Claimed, claimed, refused, user_of, verified, words

AUDIENCE: Final = "agentflow-cloud"
ISSUER: Final = "agentflow-cloud"
MAX_TTL_S: Final = 300
_REQUIRED: Final = ("exp", "iat", "aud", "iss", "sub", "jti", "tenant", "epoch", "key", "scopes")


@dataclass(frozen=True, slots=True)
class Minted:
    """A token, and when it ends (seconds of the epoch)."""

    token: str
    expires_at: int
    scopes: tuple[str, ...]


class Tokens:
    """Mints and checks tokens."""

    def __init__(
        self,
        keys: SigningKeys,
        authenticator: Authenticator,
        external: ExternalTokens,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Use one process's parts."""
        self._keys = keys
        self._authenticator = authenticator
        self._external = external
        self._clock = clock

    async def mint(
        self, principal: Principal, *, scopes: Sequence[str] | None, user_id: str | None, ttl_s: int
    ) -> Minted:
        """A token with some of a key's rights.

        Args:
            principal: Of an API key, not of a token.
            scopes: Among the key's; None for all of them that such a token may have.
            user_id: Binds it to one user, who sees only their own threads.
            ttl_s: How long it is good, 300 at most.

        Raises:
            ForbiddenError: A scope that the key lacks or no such token has, or it is a token that asks.
        """
        if principal.by_token:
            raise ForbiddenError("A token cannot mint tokens; use the API key.")
        chosen = _granted(principal, scopes, USER_SCOPES if user_id else TOKEN_SCOPES)
        key = await self._keys.current()
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id or f"key:{principal.key_id}",
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + min(ttl_s, MAX_TTL_S),
            "tenant": str(principal.tenant.tenant_id),
            "epoch": principal.token_epoch,
            "key": principal.key_id,
            "scopes": list(chosen),
            "user_id": user_id,
        }
        token = jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid})
        return Minted(token, now + min(ttl_s, MAX_TTL_S), chosen)

    async def authenticate(self, token: str) -> Principal:
        """The principal of a token: our own, or one of an issuer that a tenant trusts.

        Raises:
            CredentialError: Not signed by who may, ended, for somebody else, or its key was revoked.
            TenantSuspendedError: Its tenant is suspended.
            TenantLeavingError: Its tenant is being offboarded, or is gone.
            StoreUnavailableError: Postgres does not answer.

        No round trip when the key it was minted from is remembered, for less than a second.
        """
        says = claimed(token)
        if says.issuer != ISSUER:
            return await self._external.authenticate(token, says)
        return await self._principal(await self._checked(token, says))

    async def recheck(self, principal: Principal, *, within_s: float = 0.4) -> None:
        """Whether what let somebody in still would: for answers that stay open.

        A token that expires meanwhile ends nothing: what was begun with it may go on.

        Raises:
            CredentialError: The key or issuer is over, or the tenant was suspended in between.
            TenantSuspendedError: The tenant is suspended.
            StoreUnavailableError: Postgres does not answer.

        A round trip for all open answers of a key, unless it was asked about within `within_s`.
        """
        if principal.issued_by is not None:
            now = await self._external.principal_of(principal.issued_by, within_s=within_s)
        else:
            now = await self._authenticator.principal_of(principal.key_id, within_s=within_s)
        if now.token_epoch != principal.token_epoch:
            raise CredentialError("The tenant was suspended in between; begin anew.")

    async def _checked(self, token: str, says: Claimed) -> dict[str, Any]:
        # Nothing in the header but the id of one of our keys is looked at: no jku, jwk or x5u.
        key = await self._keys.find(says.kid) if says.algorithm == ALGORITHM else None
        if key is None:
            raise refused()
        return verified(
            token, key.public, algorithm=ALGORITHM, issuer=ISSUER, audience=AUDIENCE, required=_REQUIRED
        )

    async def _principal(self, claims: dict[str, Any]) -> Principal:
        try:
            base = await self._authenticator.principal_of(str(claims["key"]))
        except CredentialError:
            await self._authenticator.refuse_gone(uuid.UUID(claims["tenant"]))
            raise refused() from None
        if str(base.tenant.tenant_id) != claims["tenant"] or base.token_epoch != claims["epoch"]:
            raise refused()
        user_id = None if claims.get("user_id") is None else user_of(claims["user_id"])
        # Again, for tokens of a version that gave more.
        possible = USER_SCOPES if user_id else TOKEN_SCOPES
        scopes = base.scopes & words(claims["scopes"]) & frozenset(possible)
        return replace(base, scopes=scopes, user_id=user_id, by_token=True)


def _granted(principal: Principal, scopes: Sequence[str] | None, possible: Sequence[str]) -> tuple[str, ...]:
    if scopes is None:
        return tuple(scope for scope in possible if scope in principal.scopes)
    for scope in scopes:
        principal.require(scope)
        if scope not in possible:
            raise ForbiddenError(f"Such a token cannot have the scope {scope!r}; use the API key itself.")
    return tuple(scopes)
