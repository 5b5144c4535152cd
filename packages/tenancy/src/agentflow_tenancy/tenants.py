"""Tenants, and who acts for them."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from agentflow.storage.checkpointer import Scope
from agentflow_tenancy.errors import ForbiddenError
from agentflow_tenancy.plans import DEFAULT_PLAN, NO_LIMITS, Limits, sizes_of
from agentflow_tenancy.slugs import public_thread_id, stored_thread_id

THREADS_READ: Final = "threads:read"
THREADS_WRITE: Final = "threads:write"
GRAPH_INVOKE: Final = "graph:invoke"
USAGE_READ: Final = "usage:read"
KEYS_ADMIN: Final = "keys:admin"
TENANT_ADMIN: Final = "tenant:admin"
# What a user may do, and what any token: one that makes keys, or changes whom a tenant trusts, would outlive
# itself, and a user's that did would be the whole tenant's.
USER_SCOPES: Final = (THREADS_READ, THREADS_WRITE, GRAPH_INVOKE)
TOKEN_SCOPES: Final = (*USER_SCOPES, USAGE_READ)
ALL_SCOPES: Final = (THREADS_READ, THREADS_WRITE, GRAPH_INVOKE, USAGE_READ, KEYS_ADMIN, TENANT_ADMIN)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer of the service.

    Attributes:
        placement: Number of the list partition its rows live in.
        epoch: Part of every cache key of the tenant; a new number voids them all.
        agents: Names it may use; None means every hosted one.
        limits: Its plan's, overridden by its own.
        moving_to: The placement it is being moved to, if it is.
        own_limits: What it has instead of its plan's.
        retention_days: Threads left alone for so long are deleted; None keeps them.
        keep_checkpoints: So many versions of a thread left alone are kept, the latest; None keeps all.
    """

    tenant_id: uuid.UUID
    slug: str
    state: str
    placement: int
    epoch: int
    agents: tuple[str, ...] | None
    default_agent: str
    limits: Limits = NO_LIMITS
    moving_to: int | None = None
    name: str = ""
    plan: str = DEFAULT_PLAN
    own_limits: Limits = NO_LIMITS
    retention_days: int | None = None
    keep_checkpoints: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewTenant:
    """What a tenant is made of; see `Tenant`."""

    slug: str
    name: str = ""
    plan: str = DEFAULT_PLAN
    own_limits: Limits = NO_LIMITS
    retention_days: int | None = None
    keep_checkpoints: int | None = None
    agents: tuple[str, ...] | None = None
    default_agent: str = "memory"


@dataclass(frozen=True, slots=True)
class TenantFilter:
    """Which tenants to list; None is any.

    Attributes:
        placement: Those that live there, or are being moved there.
        search: A part of the slug or name.
    """

    state: str | None = None
    plan: str | None = None
    placement: int | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request acts as: a tenant, by one of its keys, with that key's rights.

    Attributes:
        limits: The key's own.
        user_id: When set, the one user whose threads exist for it.
        by_token: Whether it came by a token instead of the key itself.
        token_epoch: Of the tenant; tokens of another one are over.
        issued_by: Issuer and audience of a token that another one than this service signed.
    """

    tenant: Tenant
    key_id: str
    scopes: frozenset[str]
    expires_at: datetime | None = None
    limits: Limits = NO_LIMITS
    user_id: str | None = None
    by_token: bool = False
    token_epoch: int = 1
    issued_by: tuple[str, str] | None = None

    @property
    def scope(self) -> Scope:
        """The rows this principal may touch."""
        tenant = self.tenant
        return Scope(
            tenant_id=tenant.tenant_id,
            placement=tenant.placement,
            epoch=tenant.epoch,
            moving_to=tenant.moving_to,
            principal=self.user_id,
            limits=sizes_of(tenant.limits, self.limits),
        )

    def require(self, scope: str) -> None:
        """Insist on a right.

        Raises:
            ForbiddenError: The key does not have it.
        """
        if scope not in self.scopes:
            raise ForbiddenError(f"This key lacks the scope {scope!r}.")

    def stored_id(self, public_id: str) -> str:
        """A thread id as it is stored."""
        return stored_thread_id(self.tenant.slug, public_id)

    def public_id(self, stored_id: str) -> str:
        """A thread id as the tenant knows it."""
        return public_thread_id(self.tenant.slug, stored_id)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A stored key with its tenant."""

    principal: Principal
    digest: bytes = field(repr=False)
    revoked: bool
    expired: bool
