"""Usage in the form clients read."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from uuid import UUID

from agentflow_api.usage.parameters import TimeSpan
from agentflow_tenancy import Limits, Usage, UsageRepository
from agentflow_tenancy.usage_repository import Granularity


async def usage_of_tenant(
    repository: UsageRepository, tenant_id: UUID, limits: Limits, time: TimeSpan, by: Granularity
) -> dict[str, Any]:
    """Hours or days with usage, their sum, what is kept now and spent today, and the limits that hold."""
    buckets = await repository.of_tenant(tenant_id, time.since, time.until, by)
    used = await repository.used(tenant_id)
    return {
        **_span(time),
        "granularity": by,
        "buckets": [{"start": start.isoformat(), **asdict(usage)} for start, usage in buckets],
        "total": asdict(_sum(usage for _, usage in buckets)),
        "kept": {"threads": used.threads, "stored_bytes": used.stored_bytes},
        "today": {"tokens": used.tokens, "checkpoints": used.checkpoints},
        "limits": limits.as_json(),
    }


async def usage_of_all(
    repository: UsageRepository, time: TimeSpan, *, after: str, limit: int
) -> dict[str, Any]:
    """A page of tenants; `next` is the `after` of the following one, null at the end."""
    found = await repository.of_all(time.since, time.until, after=after, limit=limit)
    return {
        **_span(time),
        "tenants": [
            {"tenant_id": str(one.tenant_id), "slug": one.slug, **asdict(one.usage)} for one in found
        ],
        "next": found[-1].slug if len(found) == limit else None,
    }


def _span(time: TimeSpan) -> dict[str, str]:
    return {"from": time.since.isoformat(), "to": time.until.isoformat()}


def _sum(usages: Iterable[Usage]) -> Usage:
    total = Usage()
    for usage in usages:
        total = total.plus(usage)
    return total
