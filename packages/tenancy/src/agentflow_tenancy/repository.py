"""Tenants in the database."""

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.control_plane import SYSTEM, Actor, ControlPlane, Transaction, as_json
from agentflow_tenancy.errors import SlugTakenError
from agentflow_tenancy.key_repository import KeyInfo, NewApiKey, store_key
from agentflow_tenancy.plans import Limits, limits_of, plan_limits
from agentflow_tenancy.schema import POOL_PLACEMENTS
from agentflow_tenancy.slugs import check_slug, reads_like_id
from agentflow_tenancy.tenants import KeyRecord, NewTenant, Principal, Tenant, TenantFilter


class TenantRepository:
    """Reads and writes tenants. Each method is one transaction, with its line of the audit log.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._plane = ControlPlane(engine)

    async def ping(self) -> None:
        """Ask Postgres for an answer."""
        await self._plane.run(lambda transaction: transaction.one("ping"))

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """A key with its tenant, or None."""
        row = await self._plane.run(lambda transaction: transaction.one("find_key", key_id=key_id))
        if row is None:
            return None
        principal = Principal(
            tenant=tenant_of(row),
            key_id=row["key_id"],
            scopes=frozenset(row["scopes"]),
            expires_at=row["expires_at"],
            limits=Limits.parse(as_json(row["key_limits"])),
            token_epoch=row["token_epoch"],
        )
        return KeyRecord(principal, row["digest"], revoked=row["revoked"], expired=row["expired"])

    async def is_ended(self, digest: bytes) -> bool:
        """Whether a key of this digest belonged to a tenant that was offboarded."""
        return (
            await self._plane.run(lambda transaction: transaction.one("ended_key", digest=digest)) is not None
        )

    async def is_gone(self, tenant_id: uuid.UUID) -> bool:
        """Whether a tenant was offboarded."""
        gone = await self._plane.run(lambda transaction: transaction.one("gone_tenant", tenant_id=tenant_id))
        return gone is not None

    async def find_tenant(self, named: str) -> Tenant | None:
        """A tenant by its slug or its id, or None."""
        by_id = reads_like_id(named)

        async def work(transaction: Transaction) -> RowMapping | None:
            if by_id:
                return await transaction.one("find_tenant_by_id", tenant_id=uuid.UUID(named))
            return await transaction.one("find_tenant", slug=named)

        row = await self._plane.run(work)
        return None if row is None else tenant_of(row)

    async def list_tenants(
        self, wanted: TenantFilter | None = None, *, after: str = "", limit: int = 100
    ) -> list[Tenant]:
        """Tenants by slug, those behind `after`."""
        chosen = wanted or TenantFilter()
        rows = await self._plane.run(
            lambda transaction: transaction.all(
                "list_tenants",
                after=after,
                most=limit,
                state=chosen.state,
                plan=chosen.plan,
                placement=chosen.placement,
                search=chosen.search,
            )
        )
        return [tenant_of(row) for row in rows]

    async def create_tenant(
        self,
        slug: str,
        *,
        agents: Sequence[str] | None = None,
        default_agent: str = "memory",
        actor: Actor = SYSTEM,
    ) -> Tenant:
        """Make a tenant of the usual plan, in the pool partition with the fewest.

        Raises:
            InvalidSlugError, SlugTakenError.
        """
        chosen = None if agents is None else tuple(agents)
        return await self.create(NewTenant(slug, agents=chosen, default_agent=default_agent), actor=actor)

    async def create(self, new: NewTenant, *, actor: Actor) -> Tenant:
        """Make a tenant, in the pool partition with the fewest.

        Raises:
            InvalidSlugError, InvalidLimitsError, SlugTakenError.
        """
        make = _making(new, uuid.uuid4(), actor)
        return await self._plane.run(make)

    async def create_with_key(
        self, new: NewTenant, key: NewApiKey, *, actor: Actor, tenant_id: uuid.UUID | None = None
    ) -> tuple[Tenant, KeyInfo]:
        """Make a tenant and its first key, both or neither; called again with the same ids, find them.

        Raises:
            InvalidSlugError, InvalidLimitsError, SlugTakenError.
        """
        make = _making(new, tenant_id or uuid.uuid4(), actor)

        async def work(transaction: Transaction) -> tuple[Tenant, KeyInfo]:
            tenant = await make(transaction)
            return tenant, await store_key(transaction, tenant.tenant_id, key, actor=actor)

        return await self._plane.run(work)

    async def change(self, tenant: Tenant, changes: Mapping[str, Any], *, actor: Actor) -> Tenant | None:
        """Change what an operator sets; None if the tenant is gone. Effective everywhere within a second.

        Args:
            tenant: As it was read.
            changes: Of `name`, `plan`, `limits` (a JSON object), `retention_days`, `keep_checkpoints`,
                `agents`, `default_agent`.
            actor: Who does.

        Raises:
            InvalidLimitsError: There is no such plan or limit.
        """
        own = Limits.parse(changes.get("limits") or {})
        limits_of(changes.get("plan", tenant.plan), own)

        async def work(transaction: Transaction) -> Tenant | None:
            values = {**changes, "limits": own.as_json()} if "limits" in changes else dict(changes)
            row = await transaction.one(
                "change_tenant", tenant_id=tenant.tenant_id, changes=json.dumps(values)
            )
            if row is None:
                return None
            await transaction.note(actor, "tenant.change", tenant.slug, tenant.tenant_id, values)
            return tenant_of(row)

        return await self._plane.run(work)

    async def set_state(self, tenant_id: uuid.UUID, state: str, *, actor: Actor = SYSTEM) -> bool:
        """Suspend or resume; voids what is cached of the tenant. False when it is so, or it leaves."""

        async def work(transaction: Transaction) -> bool:
            row = await transaction.one("set_tenant_state", tenant_id=tenant_id, state=state)
            if row is not None:
                action = "tenant.suspend" if state == "suspended" else "tenant.resume"
                await transaction.note(actor, action, row["slug"], tenant_id)
            return row is not None

        return await self._plane.run(work)


def _making(new: NewTenant, tenant_id: uuid.UUID, actor: Actor) -> Callable[[Transaction], Awaitable[Tenant]]:
    """What makes a tenant in a transaction. Tried again after a lost answer, it finds what it made."""
    check_slug(new.slug)
    limits_of(new.plan, new.own_limits)

    async def make(transaction: Transaction) -> Tenant:
        row = await transaction.one(
            "create_tenant",
            tenant_id=tenant_id,
            slug=new.slug,
            name=new.name,
            agents=None if new.agents is None else list(new.agents),
            default_agent=new.default_agent,
            plan=new.plan,
            limits=json.dumps(new.own_limits.as_json()),
            retention_days=new.retention_days,
            keep_checkpoints=new.keep_checkpoints,
            placements=list(POOL_PLACEMENTS),
        )
        if row is None:
            row = await transaction.one("find_tenant_by_id", tenant_id=tenant_id)
            if row is None:
                raise SlugTakenError(f"There is a tenant {new.slug!r} already.")
            return tenant_of(row)
        tenant = tenant_of(row)
        details = {"plan": new.plan, "placement": tenant.placement}
        await transaction.note(actor, "tenant.create", new.slug, tenant_id, details)
        return tenant

    return make


def tenant_of(row: RowMapping) -> Tenant:
    """A row as a tenant."""
    own = Limits.parse(as_json(row["limits"]))
    return Tenant(
        tenant_id=uuid.UUID(bytes=row["tenant_id"].bytes),
        slug=row["slug"],
        state=row["state"],
        placement=row["placement"],
        epoch=row["epoch"],
        agents=None if row["agents"] is None else tuple(row["agents"]),
        default_agent=row["default_agent"],
        limits=plan_limits(row["plan"]).overridden(own),
        moving_to=row["moving_to"],
        name=row["name"],
        plan=row["plan"],
        own_limits=own,
        retention_days=row["retention_days"],
        keep_checkpoints=row["keep_checkpoints"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
