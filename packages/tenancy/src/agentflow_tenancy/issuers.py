"""Issuers that a tenant trusts, in the database."""

import json
import uuid
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.control_plane import Actor, ControlPlane, Transaction, as_json
from agentflow_tenancy.errors import IssuerTakenError, TooManyIssuersError
from agentflow_tenancy.plans import NO_LIMITS, Limits
from agentflow_tenancy.repository import tenant_of
from agentflow_tenancy.tenants import Principal, Tenant

MAX_ISSUERS: Final = 20


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose tokens for one audience stand for users of one tenant.

    Attributes:
        jwks_uri, jwks: Where its keys are fetched, or the keys; one of both.
        scopes: What its tokens may do at most.
        user_claim: The claim that names the user.
        scope_claim: The claim that holds a token's scopes; None gives it all of the issuer's.
        limits: Of the key that registered it.
    """

    issuer_id: uuid.UUID
    issuer: str
    audience: str
    jwks_uri: str | None
    jwks: dict[str, Any] | None
    algorithms: tuple[str, ...]
    scopes: tuple[str, ...]
    user_claim: str
    scope_claim: str | None = None
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer when a token comes, with what its tokens act as before their own scopes and user."""

    issuer: Issuer
    principal: Principal


class IssuerRepository:
    """Issuers in the database. Each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._plane = ControlPlane(engine)

    async def create(self, tenant: Tenant, new: Issuer, *, actor: Actor) -> Issuer:
        """Trust an issuer.

        Raises:
            TooManyIssuersError: The tenant has 20.
            IssuerTakenError: Somebody trusts it for this audience already.
        """
        issuer_id = uuid.uuid4()

        async def work(transaction: Transaction) -> Issuer:
            await transaction.one("hold_tenant", tenant_id=tenant.tenant_id)
            own = await transaction.one("get_issuer", tenant_id=tenant.tenant_id, issuer_id=issuer_id)
            if own is not None:
                return _issuer(own)  # the answer to a first try was lost
            counted = await transaction.one("count_issuers", tenant_id=tenant.tenant_id)
            if counted is not None and counted["issuers"] >= MAX_ISSUERS:
                raise TooManyIssuersError(f"A tenant has at most {MAX_ISSUERS} issuers; delete one first.")
            row = await transaction.one(
                "create_issuer",
                issuer_id=issuer_id,
                tenant_id=tenant.tenant_id,
                issuer=new.issuer,
                audience=new.audience,
                jwks_uri=new.jwks_uri,
                jwks=None if new.jwks is None else json.dumps(new.jwks),
                algorithms=list(new.algorithms),
                scopes=list(new.scopes),
                user_claim=new.user_claim,
                scope_claim=new.scope_claim,
                limits=json.dumps(new.limits.as_json()),
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

    async def find(self, issuer: str, audience: str) -> TrustedIssuer | None:
        """The one registered for this pair, of whichever tenant; None when there is none."""
        row = await self._plane.run(
            lambda transaction: transaction.one("find_issuer", issuer=issuer, audience=audience)
        )
        return None if row is None else _trusted(row)


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
        scope_claim=row["scope_claim"],
    )


def _trusted(row: RowMapping) -> TrustedIssuer:
    issuer = _issuer(row)
    principal = Principal(
        tenant=tenant_of(row),
        key_id=f"issuer:{issuer.issuer_id}",
        scopes=frozenset(issuer.scopes),
        limits=Limits.parse(as_json(row["issuer_limits"])),
        by_token=True,
        token_epoch=row["token_epoch"],
        issued_by=(issuer.issuer, issuer.audience),
    )
    return TrustedIssuer(issuer, principal)
