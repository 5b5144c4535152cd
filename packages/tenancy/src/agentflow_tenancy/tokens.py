"""Short tokens for browsers: minted from an API key, checked without a round trip."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import jwt

from agentflow_tenancy.authenticator import Authenticator
from agentflow_tenancy.errors import CredentialError, ForbiddenError
from agentflow_tenancy.issuers import ExternalTokens
from agentflow_tenancy.signing_keys import ALGORITHM, SigningKeys
from agentflow_tenancy.tenants import Principal

AUDIENCE: Final = "agentflow-cloud"
ISSUER: Final = "agentflow-cloud"
MAX_TTL_S: Final = 300
LEEWAY_S: Final = 30
_REQUIRED: Final = ["exp", "iat", "aud", "iss", "sub", "jti"]
_REFUSED: Final = "This token is not valid."


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
            scopes: Among the key's; None for all of them.
            user_id: Binds it to one user, who sees only their own threads.
            ttl_s: How long it is good, 300 at most.

        Raises:
            ForbiddenError: A scope that the key lacks, or the principal is a token's.
        """
        if principal.by_token:
            raise ForbiddenError("A token cannot mint tokens; use the API key.")
        chosen = tuple(sorted(principal.scopes)) if scopes is None else tuple(scopes)
        for scope in chosen:
            principal.require(scope)
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
            "epoch": principal.tenant.epoch,
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
            StoreUnavailableError: Postgres does not answer.

        No round trip when the key it was minted from is remembered, for less than a second.
        """
        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise CredentialError(_REFUSED) from None
        if unverified.get("iss") != ISSUER:
            return await self._external.authenticate(token, header, unverified)
        claims = await self._checked(token, header)
        return await self._principal(claims)

    async def _checked(self, token: str, header: dict[str, Any]) -> dict[str, Any]:
        # Nothing in the header but the id of one of our keys is looked at: no jku, jwk or x5u.
        key = await self._keys.find(header.get("kid")) if header.get("alg") == ALGORITHM else None
        if key is None:
            raise CredentialError(_REFUSED)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError:
            raise CredentialError(_REFUSED) from None
        return claims

    async def _principal(self, claims: dict[str, Any]) -> Principal:
        base = await self._authenticator.principal_of(str(claims.get("key")))
        if str(base.tenant.tenant_id) != claims.get("tenant"):
            raise CredentialError(_REFUSED)
        if base.tenant.epoch < int(claims.get("epoch", -1)):
            raise CredentialError(_REFUSED)
        scopes = base.scopes.intersection(claims.get("scopes", ()))
        return replace(base, scopes=scopes, user_id=claims.get("user_id"), by_token=True)
