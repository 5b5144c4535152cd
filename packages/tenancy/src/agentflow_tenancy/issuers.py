"""Tokens of issuers that a tenant trusts: registered per tenant, with keys that are fetched or given."""

import asyncio
import ipaddress
import json
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.control_plane import Actor, ControlPlane, Transaction, as_json
from agentflow_tenancy.errors import (
    CredentialError,
    IssuerTakenError,
    TenantSuspendedError,
    UnsafeAddressError,
)
from agentflow_tenancy.repository import tenant_of
from agentflow_tenancy.tenants import Principal, Tenant

_LEEWAY_S: Final = 30
_REMEMBER_S: Final = 0.8
_JWKS_S: Final = 300.0
_AGAIN_S: Final = 5.0
_TIMEOUT_S: Final = 3.0
_MAX_JWKS_BYTES: Final = 64 * 1024
_MOST: Final = 1000
_REFUSED: Final = "This token is not valid."


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose tokens for one audience stand for users of one tenant.

    Attributes:
        jwks_uri, jwks: Where its keys are fetched, or the keys; one of both.
        scopes: What its tokens may do.
        user_claim: The claim that names the user.
    """

    issuer_id: uuid.UUID
    issuer: str
    audience: str
    jwks_uri: str | None
    jwks: dict[str, Any] | None
    algorithms: tuple[str, ...]
    scopes: tuple[str, ...]
    user_claim: str


class IssuerRepository:
    """Issuers in the database. Each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._plane = ControlPlane(engine)

    async def create(self, tenant: Tenant, new: Issuer, *, actor: Actor) -> Issuer:
        """Trust an issuer.

        Raises:
            IssuerTakenError: Somebody trusts it for this audience already.
        """

        async def work(transaction: Transaction) -> Issuer:
            row = await transaction.one(
                "create_issuer",
                tenant_id=tenant.tenant_id,
                issuer=new.issuer,
                audience=new.audience,
                jwks_uri=new.jwks_uri,
                jwks=None if new.jwks is None else json.dumps(new.jwks),
                algorithms=list(new.algorithms),
                scopes=list(new.scopes),
                user_claim=new.user_claim,
            )
            if row is None:
                raise IssuerTakenError("This issuer is registered for this audience already; choose another.")
            details = {"audience": new.audience}
            await transaction.note(actor, "issuer.create", new.issuer, tenant.tenant_id, details)
            return _issuer(row)

        return await self._plane.run(work)

    async def list_of(self, tenant_id: uuid.UUID) -> list[Issuer]:
        """A tenant's."""
        rows = await self._plane.run(lambda transaction: transaction.all("list_issuers", tenant_id=tenant_id))
        return [_issuer(row) for row in rows]

    async def delete(self, tenant_id: uuid.UUID, issuer_id: uuid.UUID, *, actor: Actor) -> bool:
        """Trust it no more; False if the tenant has no such issuer. Effective within a second."""

        async def work(transaction: Transaction) -> bool:
            row = await transaction.one("delete_issuer", tenant_id=tenant_id, issuer_id=issuer_id)
            if row is not None:
                await transaction.note(actor, "issuer.delete", row["issuer"], tenant_id)
            return row is not None

        return await self._plane.run(work)

    async def find(self, issuer: str) -> list[tuple[Issuer, Tenant]]:
        """Who trusts an issuer, for which audiences."""
        rows = await self._plane.run(lambda transaction: transaction.all("find_issuers", issuer=issuer))
        return [(_issuer(row), tenant_of(row)) for row in rows]


class ExternalTokens:
    """Checks tokens of registered issuers, remembered for less than a second; their keys for longer."""

    def __init__(
        self,
        repository: IssuerRepository,
        *,
        allow_unsafe: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is remembered yet.

        Args:
            repository: Of this event loop.
            allow_unsafe: Fetch keys by http and from private addresses too; for development.
            clock: Seconds, never going back.
        """
        self._repository = repository
        self._allow_unsafe = allow_unsafe
        self._clock = clock
        self._found: dict[str, tuple[float, list[tuple[Issuer, Tenant]]]] = {}
        self._keys: dict[uuid.UUID, tuple[float, dict[str, jwt.PyJWK]]] = {}
        self._fetching: dict[uuid.UUID, asyncio.Lock] = {}

    async def authenticate(
        self, token: str, header: Mapping[str, Any], unverified: Mapping[str, Any]
    ) -> Principal:
        """The principal of a token: a user of the tenant that trusts its issuer for its audience.

        Raises:
            CredentialError: Nobody trusts it, or it is not signed, ended or for somebody else.
            TenantSuspendedError, StoreUnavailableError: See `Authenticator`.
        """
        trusted, tenant = await self._trusted(unverified)
        if header.get("alg") not in trusted.algorithms:
            raise CredentialError(_REFUSED)
        key = await self._key(trusted, header.get("kid"))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(trusted.algorithms),
                audience=trusted.audience,
                issuer=trusted.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, TypeError, ValueError):
            raise CredentialError(_REFUSED) from None
        user_id = claims.get(trusted.user_claim)
        if not isinstance(user_id, str) or not user_id or len(user_id) > 255:
            raise CredentialError(_REFUSED)
        if tenant.state != "active":
            raise TenantSuspendedError("This tenant is suspended.")
        return Principal(
            tenant=tenant,
            key_id=f"issuer:{trusted.issuer_id}",
            scopes=frozenset(trusted.scopes),
            user_id=user_id,
            by_token=True,
        )

    async def _trusted(self, unverified: Mapping[str, Any]) -> tuple[Issuer, Tenant]:
        name = unverified.get("iss")
        if not isinstance(name, str) or len(name) > 500:
            raise CredentialError(_REFUSED)
        remembered = self._found.get(name)
        if remembered is None or self._clock() - remembered[0] >= _REMEMBER_S:
            asked_at = self._clock()
            found = await self._repository.find(name)
            if len(self._found) >= _MOST:
                self._found.clear()
            if found:
                self._found[name] = (asked_at, found)
        else:
            found = remembered[1]
        audience = unverified.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        matching = [(issuer, tenant) for issuer, tenant in found if issuer.audience in audiences]
        if len(matching) != 1:
            # Of two tenants at once it is neither's.
            raise CredentialError(_REFUSED)
        return matching[0]

    async def _key(self, issuer: Issuer, kid: object) -> jwt.PyJWK:
        keys = await self._keys_of(issuer, _JWKS_S)
        if isinstance(kid, str) and kid not in keys and issuer.jwks_uri is not None:
            keys = await self._keys_of(issuer, _AGAIN_S)
        key = keys.get(kid) if isinstance(kid, str) else None
        if key is None and kid is None and len(keys) == 1:
            key = next(iter(keys.values()))
        if key is None:
            raise CredentialError(_REFUSED)
        return key

    async def _keys_of(self, issuer: Issuer, at_most_s: float) -> dict[str, jwt.PyJWK]:
        known = self._keys.get(issuer.issuer_id)
        if known is not None and self._clock() - known[0] < at_most_s:
            return known[1]
        lock = self._fetching.setdefault(issuer.issuer_id, asyncio.Lock())
        async with lock:
            known = self._keys.get(issuer.issuer_id)
            if known is not None and self._clock() - known[0] < at_most_s:
                return known[1]
            keys = await self._fetched(issuer, known[1] if known else {})
            if len(self._keys) >= _MOST:
                self._keys.clear()
            self._keys[issuer.issuer_id] = (self._clock(), keys)
            return keys

    async def _fetched(self, issuer: Issuer, otherwise: dict[str, jwt.PyJWK]) -> dict[str, jwt.PyJWK]:
        if issuer.jwks_uri is None:
            return usable_keys(issuer.jwks or {})
        try:
            return usable_keys(await fetch_jwks(issuer.jwks_uri, allow_unsafe=self._allow_unsafe))
        except (httpx.HTTPError, OSError, ValueError, UnsafeAddressError):
            return otherwise


def usable_keys(jwks: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The public keys of a set that can check signatures, by their ids. Secrets (`oct`) are none."""
    keys: dict[str, jwt.PyJWK] = {}
    given = jwks.get("keys")
    for number, one in enumerate(given if isinstance(given, list) else []):
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP") or "d" in one:
            continue
        try:
            keys[str(one.get("kid", number))] = jwt.PyJWK(one)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return keys


async def fetch_jwks(uri: str, *, allow_unsafe: bool) -> dict[str, Any]:
    """Keys from an issuer's address: https, no redirects, no private address, 64 KiB and 3 s at most.

    Raises:
        UnsafeAddressError: The address is none to fetch from.
        httpx.HTTPError, OSError, ValueError: There are no keys there.
    """
    parts = urlsplit(uri)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (allow_unsafe and parts.scheme == "http"):
        raise UnsafeAddressError("Keys are fetched by https only.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    async with asyncio.timeout(_TIMEOUT_S):
        addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        checked = [str(address[4][0]) for address in addresses]
        if not allow_unsafe and not all(ipaddress.ip_address(address).is_global for address in checked):
            raise UnsafeAddressError("Keys are not fetched from private addresses.")
        # To the address that was checked: a name may mean another one a moment later.
        url = httpx.URL(uri).copy_with(host=checked[0])
        async with (
            httpx.AsyncClient(follow_redirects=False, timeout=_TIMEOUT_S, trust_env=False) as client,
            client.stream(
                "GET", url, headers={"host": parts.netloc}, extensions={"sni_hostname": host}
            ) as answer,
        ):
            answer.raise_for_status()
            if answer.is_redirect:
                raise UnsafeAddressError("Keys are not fetched by way of redirects.")
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MAX_JWKS_BYTES:
                    raise UnsafeAddressError("A set of keys has at most 64 KiB.")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("not a set of keys")
    return found


def _issuer(row: RowMapping) -> Issuer:
    return Issuer(
        issuer_id=uuid.UUID(bytes=row["issuer_id"].bytes),
        issuer=row["issuer"],
        audience=row["audience"],
        jwks_uri=row["jwks_uri"],
        jwks=as_json(row["jwks"]),
        algorithms=tuple(row["algorithms"]),
        scopes=tuple(row["scopes"]),
        user_claim=row["user_claim"],
    )
