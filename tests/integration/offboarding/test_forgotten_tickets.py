"""What the queue of runs keeps names nobody who was forgotten."""

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_hosting.tickets import serve_tickets
from agentflow_tenancy import Tenant
from tests.integration.offboarding.conftest import Connection
from tests.support.leaving import dump_of, offboarded, runner_of, texts_with, write_thread


async def put_webhook(owner: Connection, tenant: Tenant, run_id: uuid.UUID) -> None:
    payload = json.dumps({"tenant_id": str(tenant.tenant_id), "run_id": str(run_id)})
    await owner.execute(
        "INSERT INTO agentflow_pgqueuer (priority, status, entrypoint, payload, execute_after)"
        " VALUES (0, 'queued', 'webhook', convert_to($1, 'UTF8'), now() + interval '6 hours')", payload,
    )  # fmt: skip


async def put_run(owner: Connection, tenant: Tenant, thread: str, user: str) -> uuid.UUID:
    run_id = uuid.uuid4()
    await owner.execute(
        "INSERT INTO agentflow_runs (tenant_id, run_id, thread_id, user_id, key_id, agent, kind, strategy,"
        " status, input, attempts, started_at, finished_at)"
        " VALUES ($1, $2, $3, $4, 'k', 'echo', 'background', 'enqueue', 'success', '', 1, now(), now())",
        tenant.tenant_id, run_id, thread, user,
    )  # fmt: skip
    return run_id


async def handled(engine: AsyncEngine, owner: Connection, errors: list[Exception]) -> None:
    """Tickets whose handling fails, each with one of these."""
    stop = asyncio.Event()
    waiting = list(errors)

    async def fail(_: Job) -> None:
        error = waiting.pop(0)
        if not waiting:
            stop.set()
        raise error

    for _ in errors:
        await owner.execute(
            "INSERT INTO agentflow_pgqueuer (priority, status, entrypoint) VALUES (0, 'queued', 'failing')"
        )
    async with asyncio.timeout(60):
        await serve_tickets(engine, "failing", fail, stop, room=lambda: 1)


@pytest.mark.parametrize("asked", [{"user_id": True}, {}], ids=["user", "tenant"])
async def test_a_failed_job_names_nobody(
    engine: AsyncEngine,
    owner: Connection,
    redis: Redis,
    checkpointer: PgCheckpointer,
    tenant: Tenant,
    asked: dict[str, Any],
) -> None:
    """Tickets that failed, and one that is to come again, with texts that name the user and its thread."""
    user = f"canary{uuid.uuid4().hex}"
    stored = f"tenant-{tenant.slug}:{user}-0"
    await write_thread(checkpointer, Scope(tenant.tenant_id, tenant.placement, principal=user), stored, user)
    errors = [
        ValueError(f"No message of thread {stored} is {user}."),
        RetryRequested(timedelta(0), f"thread {stored}"),
        KeyError(user),
    ]
    await handled(engine, owner, errors)
    noted = await owner.fetch("SELECT traceback FROM agentflow_pgqueuer_log WHERE traceback IS NOT NULL")
    assert sorted(json.loads(row["traceback"])["exception_type"] for row in noted) == [
        "KeyError",
        "RetryRequested",
        "ValueError",
    ], "what kind of error it was is noted"

    asked = {"user_id": user} if asked else {}
    done = await offboarded(engine, tenant, runner_of(engine, redis=redis), **asked)

    assert (done.state, done.error) == ("purged", None)
    assert user not in dump_of(engine)


async def test_tickets_of_a_forgotten_users_runs(
    engine: AsyncEngine, owner: Connection, redis: Redis, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """An address that is still to be told of a run is not told, and the run is named nowhere."""
    scope = Scope(tenant.tenant_id, tenant.placement, principal="u")
    stored = f"tenant-{tenant.slug}:u-0"
    await write_thread(checkpointer, scope, stored, "u")
    with_thread = await put_run(owner, tenant, stored, "u")
    without = await put_run(owner, tenant, f"tenant-{tenant.slug}:gone", "u")
    others = await put_run(owner, tenant, f"tenant-{tenant.slug}:v-0", "v")
    for run_id in (with_thread, without, others):
        await put_webhook(owner, tenant, run_id)

    done = await offboarded(engine, tenant, runner_of(engine, redis=redis), user_id="u")

    assert (done.state, done.error) == ("purged", None)
    kept = await owner.fetch("SELECT convert_from(payload, 'UTF8') AS text FROM agentflow_pgqueuer")
    assert [json.loads(row["text"])["run_id"] for row in kept] == [str(others)]
    for run_id in (with_thread, without):
        assert await texts_with(owner, str(run_id)) == {}
        assert str(run_id) not in dump_of(engine)
