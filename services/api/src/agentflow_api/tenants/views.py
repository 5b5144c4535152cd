"""Tenants in the form the operator reads."""

from datetime import datetime
from typing import Any

from agentflow_tenancy import Tenant


def tenant_view(tenant: Tenant) -> dict[str, Any]:
    """All that is set for a tenant. `limits` hold; `own_limits` are those it has instead of its plan's."""
    return {
        "tenant_id": str(tenant.tenant_id),
        "slug": tenant.slug,
        "name": tenant.name,
        "state": tenant.state,
        "plan": tenant.plan,
        "limits": tenant.limits.as_json(),
        "own_limits": tenant.own_limits.as_json(),
        "retention_days": tenant.retention_days,
        "keep_checkpoints": tenant.keep_checkpoints,
        "placement": tenant.placement,
        "moving_to": tenant.moving_to,
        "epoch": tenant.epoch,
        "agents": None if tenant.agents is None else list(tenant.agents),
        "default_agent": tenant.default_agent,
        "created_at": _time(tenant.created_at),
        "updated_at": _time(tenant.updated_at),
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
