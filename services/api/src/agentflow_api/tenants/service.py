"""What the operator does with tenants."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from agentflow_api.http.problems import ConflictingError, InvalidBodyError, NotThereError
from agentflow_api.keys.views import key_view
from agentflow_api.tenants.schemas import NewTenantBody, TenantChanges
from agentflow_api.tenants.views import tenant_view
from agentflow_api.wiring import Wiring
from agentflow_hosting.agents.registry import AgentRegistry
from agentflow_tenancy import ALL_SCOPES, Limits, NewApiKey, Tenant
from agentflow_tenancy.control_plane import Actor
from agentflow_tenancy.keys import ApiKey, made_api_key
from agentflow_tenancy.tenants import NewTenant

_NAMED: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_RECENT: Final = timedelta(days=30)
_MAY_BE_NULL: Final = frozenset({"agents", "retention_days", "keep_checkpoints"})


def first_key(wiring: Wiring, effect_id: uuid.UUID) -> ApiKey:
    """The first key of the tenant that an effect makes; nothing is read."""
    return made_api_key(wiring.settings.key_pepper, effect_id)


async def create_tenant(
    wiring: Wiring, body: NewTenantBody, effect_id: uuid.UUID, actor: Actor
) -> dict[str, Any]:
    """Make a tenant and its first key, which is shown this once; the same effect's again are the same ones.

    Raises:
        InvalidBodyError: It names an agent that is not hosted here.
        InvalidSlugError, InvalidLimitsError, SlugTakenError: See `TenantRepository.create`.
    """
    agents = None if body.agents is None else tuple(body.agents)
    default = body.default_agent or (agents[0] if agents else "memory")
    _check_agents(wiring.agents, agents, default)
    new = NewTenant(
        slug=body.slug,
        name=body.name,
        plan=body.plan,
        own_limits=Limits.parse(body.limits or {}),
        retention_days=body.retention_days,
        keep_checkpoints=body.keep_checkpoints,
        agents=agents,
        default_agent=default,
    )
    key = first_key(wiring, effect_id)
    scopes = sorted(ALL_SCOPES) if body.scopes is None else body.scopes
    first = NewApiKey(key.key_id, key.digest(wiring.settings.key_pepper), "first", scopes)
    tenant, info = await wiring.repository.create_with_key(new, first, actor=actor, tenant_id=effect_id)
    return {**tenant_view(tenant), "api_key": key.text, "key": key_view(info)}


async def recent_usage(wiring: Wiring, tenants: Sequence[Tenant]) -> list[dict[str, Any]]:
    """What each keeps now, and used within 30 days, in their order. Two round trips for all."""
    now = datetime.now(UTC)
    ids = [tenant.tenant_id for tenant in tenants]
    found = await wiring.usage.of_these(ids, now - _RECENT, now)
    return [
        {"kept": asdict(kept), "last_30_days": asdict(used)} for kept, used in (found[one] for one in ids)
    ]


async def found(wiring: Wiring, named: str) -> Tenant:
    """A tenant by slug or id.

    Raises:
        NotThereError: There is none.
    """
    tenant = await wiring.repository.find_tenant(named) if _NAMED.fullmatch(named) else None
    if tenant is None:
        raise NotThereError("There is no such tenant.")
    return tenant


async def change_tenant(wiring: Wiring, named: str, body: TenantChanges, actor: Actor) -> dict[str, Any]:
    """Change what an operator sets; effective on every replica within a second.

    Raises:
        NotThereError: There is no such tenant.
        InvalidBodyError, InvalidLimitsError: What is asked for cannot be.
    """
    tenant = await found(wiring, named)
    changes = body.model_dump(include=body.model_fields_set)
    for field, value in changes.items():
        if value is None and field not in _MAY_BE_NULL and field != "limits":
            raise InvalidBodyError(f"{field} cannot be null.")
    agents = changes.get("agents", tenant.agents)
    _check_agents(wiring.agents, agents, changes.get("default_agent", tenant.default_agent))
    changed = await wiring.repository.change(tenant, changes, actor=actor)
    if changed is None:
        raise NotThereError("There is no such tenant.")
    return tenant_view(changed)


async def set_state(wiring: Wiring, named: str, state: str, actor: Actor) -> dict[str, Any]:
    """Suspend or resume; repeating it changes nothing.

    Raises:
        NotThereError: There is no such tenant.
        ConflictingError: It is being offboarded.
    """
    tenant = await found(wiring, named)
    if tenant.state == "offboarding":
        raise ConflictingError("This tenant is being offboarded; cancel that, if it is not too late.")
    await wiring.repository.set_state(tenant.tenant_id, state, actor=actor)
    return tenant_view(await found(wiring, named))


def _check_agents(registry: AgentRegistry, agents: tuple[str, ...] | list[str] | None, default: str) -> None:
    for name in (*(agents or ()), default):
        if name not in registry.names:
            raise InvalidBodyError(f"There is no agent {name!r} here; there are {', '.join(registry.names)}.")
    if agents is not None and default not in agents:
        raise InvalidBodyError(f"The default agent {default!r} must be one of the tenant's agents.")
