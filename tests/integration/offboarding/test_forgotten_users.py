"""One user of a tenant is forgotten: what they left goes, what others left stays."""

import uuid

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StaleCheckpointError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import Tenant, UsageRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.errors import OffboardingConflictError
from agentflow_tenancy.exports import ExportRepository, NewExport
from agentflow_tenancy.offboarding import OffboardingRepository, ReceiptRepository, Request
from agentflow_tenancy.offboarding.receipts import verify
from agentflow_tenancy.offboarding.records import user_digest
from tests.integration.offboarding.conftest import Connection
from tests.support.leaving import (
    fill_control_plane,
    keys_of,
    offboarded,
    rows_of,
    runner_of,
    texts_with,
    write_thread,
)


async def test_a_user_is_forgotten(
    engine: AsyncEngine,
    owner: Connection,
    redis: Redis,
    checkpointer: PgCheckpointer,
    tenant: Tenant,
    neighbour: Tenant,
) -> None:
    """Threads, messages, runs, what they said, answers that were kept; and nothing of anybody else."""
    canary = f"canary{uuid.uuid4().hex}"
    for of in (tenant, neighbour):
        for user in (canary, f"other{of.slug}"):
            scope = Scope(of.tenant_id, of.placement, principal=user)
            for number in range(2):
                await write_thread(checkpointer, scope, f"tenant-{of.slug}:{user}-{number}", user)
    await fill_control_plane(engine, owner, tenant, canary)
    await owner.execute("DELETE FROM agentflow_remote_tools")  # the tenant's own, as are the three below
    await owner.execute("DELETE FROM agentflow_issuers")
    await owner.execute("DELETE FROM agentflow_api_keys")
    await owner.execute("DELETE FROM agentflow_idempotency WHERE strpos(body, 'key_id') > 0")
    exports = ExportRepository(engine)
    await exports.request_export(tenant, NewExport(uuid.uuid4(), user_id=canary), actor=SYSTEM)
    theirs = NewExport(uuid.uuid4(), thread_id=f"{canary}-0")
    await exports.request_export(tenant, theirs, actor=SYSTEM)
    # The one of a thread still waits for a worker, as it may.
    await owner.execute(
        "UPDATE agentflow_exports SET state = 'cancelled', finished_at = now() WHERE user_id IS NOT NULL"
    )
    await owner.execute("DELETE FROM agentflow_audit_log WHERE action = 'key.create'")
    await owner.execute("DELETE FROM agentflow_pgqueuer_log")
    before = await rows_of(owner, neighbour.tenant_id)
    assert await keys_of(redis, tenant.tenant_id)
    dry = await offboarded(engine, tenant, runner_of(engine, redis=redis), user_id=canary, dry_run=True)

    done = await offboarded(engine, tenant, runner_of(engine, redis=redis), user_id=canary)

    assert (done.state, done.error, done.user_id) == ("purged", None, None)
    below = ("threads", "messages", "checkpoints")
    expected = [dry.counts[f"agentflow_{name}"] for name in below]
    assert expected == [done.counts[f"agentflow_{name}"] for name in below] == [2, 6, 6]
    left = await owner.fetch("SELECT user_id FROM agentflow_threads WHERE tenant_id = $1", tenant.tenant_id)
    assert [row["user_id"] for row in left] == ["othera-1"] * 2
    found = await texts_with(owner, canary)
    assert {name.rpartition("_p")[0] or name for name in found} <= {
        "agentflow_threads",
        "agentflow_messages",
        "agentflow_checkpoints",
    }
    assert await texts_with(owner, f"tenant-a-1:{canary}") == {}
    exports_left = await owner.fetch("SELECT state, thread_id FROM agentflow_exports")
    assert [tuple(one) for one in exports_left] == [("cancelled", None)], "that there was one stays"
    assert await rows_of(owner, neighbour.tenant_id) == before
    scope = Scope(tenant.tenant_id, tenant.placement)
    assert len(await checkpointer.list_threads(scope)) == 2
    used = await UsageRepository(engine).used(tenant.tenant_id)
    assert used.threads == 3  # two of the other user's, and one that the fixture says
    receipts = ReceiptRepository(engine)
    receipt = await receipts.get(done.offboarding_id)
    assert receipt is not None
    content = verify(receipt.as_file(), await receipts.jwks())
    assert content["kind"] == "user"
    assert content["user_sha256"] == user_digest(tenant.tenant_id, canary).hex()
    assert canary not in receipt.body
    tombstone = await owner.fetchrow("SELECT * FROM agentflow_tombstones")
    assert tombstone is not None
    assert tombstone["user_digest"] == user_digest(tenant.tenant_id, canary)


async def test_a_run_that_still_writes(
    engine: AsyncEngine, owner: Connection, redis: Redis, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """Its thread is gone from under it: it stores nothing; and the user may come back and begin anew."""
    scope = Scope(tenant.tenant_id, tenant.placement, principal="u")
    await write_thread(checkpointer, scope, "t", "old")
    snapshot = await checkpointer.load(scope, "t")
    assert snapshot is not None
    done = await offboarded(engine, tenant, runner_of(engine, redis=redis), user_id="u")
    assert done.state == "purged"
    late = write_after(snapshot, {"t": "late"}, added=[message(snapshot.next_pos, "late")])
    with pytest.raises(StaleCheckpointError):
        await checkpointer.append(scope, "t", late)
    assert await owner.fetchval("SELECT count(*) FROM agentflow_messages") == 0
    await write_thread(checkpointer, scope, "t", "new", versions=1)
    again = await checkpointer.load(scope, "t")
    assert again is not None
    assert [stored.content for stored in again.messages] == ["new"]


async def test_a_tenant_that_leaves_takes_its_users_along(engine: AsyncEngine, tenant: Tenant) -> None:
    """Forgetting one of them is refused then."""
    repository = OffboardingRepository(engine)
    await repository.request(tenant, Request(grace_s=60), actor=SYSTEM)
    with pytest.raises(OffboardingConflictError):
        await repository.request(tenant, Request(user_id="u"), actor=SYSTEM)
