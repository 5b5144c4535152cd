"""Moving and offboarding a tenant tell their steps, below the work; of the tenant its id alone."""

import uuid

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.utils import span_names as names
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_worker.operation_runner import OperationRunner
from tests.support.leaving import offboarded, runner_of, write_thread
from tests.support.telling import Told, telling


def steps_of(told: Told, name: str) -> list[object]:
    """Of the one work of that name."""
    [work] = told.named(name)
    assert all(step.parent == work.context for step in told.named(f"{name}.step"))
    return told.said(f"{name}.step", names.STEP)


async def test_steps_are_told(
    engine: AsyncEngine,
    redis: Redis,
    checkpointer: PgCheckpointer,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them, in their order; then the tenant leaves from where it is."""
    canary = f"canary{uuid.uuid4().hex}"
    await write_thread(
        checkpointer, Scope(tenant.tenant_id, tenant.placement), f"tenant-a-1:{canary}", canary
    )
    operations = OperationRepository(engine)
    await operations.request(tenant, None, actor=SYSTEM)
    with telling(monkeypatch) as told:
        await OperationRunner(operations, Mover(engine, settle_s=0)).work_once()
        moved = await TenantRepository(engine).find_tenant(tenant.slug)
        assert moved is not None
        await offboarded(engine, moved, runner_of(engine, redis=redis), grace_s=0)
    promoted = ["prepare", "announce", "fence", "move", "finish", "clean"]
    assert steps_of(told, names.PROMOTE_SPAN) == promoted
    assert told.said(names.PROMOTE_SPAN, names.TENANT) == [str(tenant.tenant_id)]
    offboarding = told.named(names.OFFBOARD_SPAN)
    assert {(span.attributes or {})[names.TENANT] for span in offboarding} == {str(tenant.tenant_id)}
    assert told.said(f"{names.OFFBOARD_SPAN}.step", names.STEP) == [
        "suspend", "export", "fence", "leaves", "threads", "tables", "elsewhere", "verify",
    ]  # fmt: skip
    assert not any(canary in span.to_json() for span in told.spans)
