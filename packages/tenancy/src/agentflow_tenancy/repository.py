"""Tenants and keys in the database."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.errors import SlugTakenError
from agentflow_tenancy.keys import ApiKey
from agentflow_tenancy.queries import QUERIES
from agentflow_tenancy.schema import POOL_PLACEMENTS
from agentflow_tenancy.slugs import check_slug
from agentflow_tenancy.tenants import ALL_SCOPES, KeyRecord, Principal, Tenant


class TenantRepository:
    """Reads and writes the control plane. Each method is one transaction.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def ping(self) -> None:
        """Ask Postgres for an answer."""
        await self._one("ping", {})

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """A key with its tenant, or None."""
        row = await self._one("find_key", {"key_id": key_id})
        if row is None:
            return None
        principal = Principal(_tenant(row), row["key_id"], frozenset(row["scopes"]), row["expires_at"])
        return KeyRecord(principal, row["digest"], revoked=row["revoked"], expired=row["expired"])

    async def find_tenant(self, slug: str) -> Tenant | None:
        """A tenant by its slug, or None."""
        row = await self._one("find_tenant", {"slug": slug})
        return None if row is None else _tenant(row)

    async def create_tenant(
        self, slug: str, *, agents: Sequence[str] | None = None, default_agent: str = "memory"
    ) -> Tenant:
        """Make a tenant, in the pool partition with the fewest.

        Raises:
            InvalidSlugError, SlugTakenError.
        """
        values = {
            "slug": check_slug(slug),
            "agents": None if agents is None else list(agents),
            "default_agent": default_agent,
            "placements": list(POOL_PLACEMENTS),
        }
        row = await self._one("create_tenant", values)
        if row is None:
            raise SlugTakenError(f"There is a tenant {slug!r} already.")
        return _tenant(row)

    async def create_key(
        self,
        tenant_id: uuid.UUID,
        key: ApiKey,
        *,
        pepper: bytes,
        name: str,
        scopes: Sequence[str] = ALL_SCOPES,
        expires_at: datetime | None = None,
    ) -> None:
        """Store a key's digest."""
        values = {
            "key_id": key.key_id,
            "tenant_id": tenant_id,
            "digest": key.digest(pepper),
            "name": name,
            "scopes": list(scopes),
            "expires_at": expires_at,
        }
        await self._execute("create_key", values)

    async def revoke_key(self, tenant_id: uuid.UUID, key_id: str) -> bool:
        """End a key; False if the tenant has no such key. Effective everywhere within a second."""
        return await self._one("revoke_key", {"tenant_id": tenant_id, "key_id": key_id}) is not None

    async def set_state(self, tenant_id: uuid.UUID, state: str) -> bool:
        """Suspend or resume; voids what is cached of the tenant."""
        return await self._one("set_tenant_state", {"tenant_id": tenant_id, "state": state}) is not None

    async def _one(self, name: str, values: Mapping[str, Any]) -> RowMapping | None:
        try:
            return await self._one_try(name, values)
        except StoreUnavailableError:
            # The pool may hold connections of a server that was restarted; the next one is new.
            return await self._one_try(name, values)

    async def _one_try(self, name: str, values: Mapping[str, Any]) -> RowMapping | None:
        with translated():
            async with self._engine.begin() as connection:
                return (await connection.execute(QUERIES[name], values)).mappings().one_or_none()

    async def _execute(self, name: str, values: Mapping[str, Any]) -> None:
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(QUERIES[name], values)


def _tenant(row: RowMapping) -> Tenant:
    return Tenant(
        tenant_id=uuid.UUID(bytes=row["tenant_id"].bytes),
        slug=row["slug"],
        state=row["state"],
        placement=row["placement"],
        epoch=row["epoch"],
        agents=None if row["agents"] is None else tuple(row["agents"]),
        default_agent=row["default_agent"],
    )
