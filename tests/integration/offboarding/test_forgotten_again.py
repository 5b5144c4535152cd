"""A user who was forgotten, and whom a restored database still knows: the tombstone has them go again."""

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_hosting.idempotency import OPERATOR, Answer, Claim, IdempotencyKeys
from agentflow_hosting.leaving import AnswersPlace, RunQueuePlace
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.exports import ExportRepository, NewExport
from agentflow_tenancy.offboarding import Subject
from agentflow_tenancy.offboarding.records import user_digest
from agentflow_tenancy.tombstones import Tombstone, TombstoneFile, TombstoneRepository
from tests.integration.offboarding.conftest import Connection
from tests.support import databases
from tests.support.leaving import dump_of, offboarded, rows_of, runner_of, texts_with, write_thread

CANARY = "canary-who-is-forgotten"
SHARED = "tenant-a-1:shared"


def applying(engine: AsyncEngine) -> TombstoneRepository:
    """As the command has it."""
    return TombstoneRepository(engine, [RunQueuePlace(engine), AnswersPlace(engine)])


async def _run_on_anothers_thread(owner: Connection, tenant: Tenant, user_id: str) -> uuid.UUID:
    """A run that has ended, with what it said, its trace and a ticket; nothing else says whose they are."""
    run_id = uuid.uuid4()
    await owner.execute(
        "INSERT INTO agentflow_runs (tenant_id, run_id, thread_id, user_id, key_id, agent, kind, strategy,"
        " status, input, attempts, started_at, finished_at)"
        " VALUES ($1, $2, $3, $4, 'k', 'echo', 'background', 'enqueue', 'success', 'x', 1, now(), now())",
        tenant.tenant_id, run_id, SHARED, user_id,
    )  # fmt: skip
    text = f"said to {user_id}"
    await owner.execute(
        "INSERT INTO agentflow_run_chunks VALUES ($1, $2, 0, $3)", tenant.tenant_id, run_id, text
    )
    await owner.execute(
        "INSERT INTO agentflow_run_traces VALUES ($1, $2, $3, 1, 1, 'success', now(), now(), 1, 0, 0, 0, 0,"
        " jsonb_build_array($4::text), '[]')", tenant.tenant_id, SHARED, str(run_id), text,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO agentflow_pgqueuer (priority, status, entrypoint, payload) VALUES (0, 'queued',"
        " 'webhook', convert_to(json_build_object('tenant_id', $1::uuid, 'run_id', $2::uuid)::text, 'UTF8'))",
        tenant.tenant_id, run_id,
    )  # fmt: skip
    return run_id


async def _answered(engine: AsyncEngine, of: uuid.UUID, key: str, **data: str) -> None:
    keys = IdempotencyKeys(engine)
    claim = await keys.claim(of, key, b"f")
    assert isinstance(claim, Claim)
    await keys.answer(claim, 200, json.dumps({"data": data}, separators=(",", ":")))


async def _is_answered(engine: AsyncEngine, tenant_id: uuid.UUID, key: str) -> bool:
    return isinstance(await IdempotencyKeys(engine).claim(tenant_id, key, b"f"), Answer)


async def _leave_traces(
    engine: AsyncEngine,
    owner: Connection,
    checkpointer: PgCheckpointer,
    tenant: Tenant,
    user_id: str,
    no: str,
) -> uuid.UUID:
    """What a user leaves: a thread, exports (and lines of the audit log), answers, and a run: its id."""
    scope = Scope(tenant.tenant_id, tenant.placement, principal=user_id)
    await write_thread(checkpointer, scope, f"tenant-a-1:{user_id}-{no}", user_id)
    exports = ExportRepository(engine)
    ended = "UPDATE agentflow_exports SET state = 'cancelled', finished_at = now() WHERE finished_at IS NULL"
    for waits in (False, True):
        await exports.request_export(tenant, NewExport(uuid.uuid4(), user_id=user_id), actor=SYSTEM)
        of_thread = NewExport(uuid.uuid4(), thread_id=f"{user_id}-{no}")
        await exports.request_export(tenant, of_thread, actor=SYSTEM)
        if not waits:
            await owner.execute(ended)
    await _answered(engine, tenant.tenant_id, f"user {no}", user_id=user_id)
    await _answered(engine, tenant.tenant_id, f"thread {no}", thread_id=f"{user_id}-{no}")
    await _answered(engine, OPERATOR, f"operator {no}", tenant_id=str(tenant.tenant_id), user_id=user_id)
    return await _run_on_anothers_thread(owner, tenant, user_id)


async def _others(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """A thread of the tenant's own, a run of somebody on it, and an answer that somebody got."""
    await write_thread(checkpointer, Scope(tenant.tenant_id, tenant.placement), SHARED, "of all")
    await _run_on_anothers_thread(owner, tenant, "somebody")
    await _answered(engine, tenant.tenant_id, "somebody's", user_id="somebody")


async def _others_are_there(engine: AsyncEngine, owner: Connection, tenant: Tenant) -> None:
    assert await owner.fetchval("SELECT count(*) FROM agentflow_threads WHERE thread_id = $1", SHARED) == 1
    found = await texts_with(owner, "said to somebody")
    assert {name.rpartition("_p")[0] or name for name in found} == {
        "agentflow_run_chunks",
        "agentflow_run_traces",
    }
    assert await _is_answered(engine, tenant.tenant_id, "somebody's")


@pytest.fixture
def restored_url(migrated_database_url: str) -> Iterator[str]:
    """Where a copy of the database will be, as a backup that is restored later."""
    name = databases.new_name("restored")
    yield databases.url_of(migrated_database_url, name)
    databases.drop(migrated_database_url, name)


def test_nothing_names_them_in_a_restored_database(
    migrated_database_url: str, restored_url: str, tmp_path: Path
) -> None:
    """Not a row, not a line of the audit log, not a kept answer; a dump does not have the name."""
    file = TombstoneFile(tmp_path / "tombstones.jsonl")

    async def used() -> Tenant:
        engine, owner, checkpointer = await _opened(migrated_database_url)
        tenant = await TenantRepository(engine).create_tenant("a-1")
        await _others(engine, owner, checkpointer, tenant)
        await _leave_traces(engine, owner, checkpointer, tenant, CANARY, "0")
        await _closed(engine, owner, checkpointer)
        return tenant

    async def forgotten(tenant: Tenant) -> None:
        engine = create_async_engine(migrated_database_url)
        done = await offboarded(engine, tenant, runner_of(engine, keep=file.keep), user_id=CANARY)
        assert (done.state, done.error) == ("purged", None)
        await engine.dispose()

    async def restored(tenant: Tenant) -> None:
        engine, owner, checkpointer = await _opened(restored_url)
        assert CANARY in dump_of(engine)
        await applying(engine).apply(file.read())
        assert await texts_with(owner, CANARY) == {}
        assert CANARY not in dump_of(engine)
        await _others_are_there(engine, owner, tenant)
        assert await owner.fetchval("SELECT count(*) FROM agentflow_pgqueuer") == 1, "somebody's"
        assert (await applying(engine).apply(file.read())).rows == 0
        await _closed(engine, owner, checkpointer)

    tenant = databases.run(used())
    template = make_url(migrated_database_url).database
    databases.create(migrated_database_url, str(make_url(restored_url).database), template)
    databases.run(forgotten(tenant))
    databases.run(restored(tenant))


async def _opened(url: str) -> tuple[AsyncEngine, Connection, PgCheckpointer]:
    owner = await asyncpg.connect(url.replace("+asyncpg", ""))
    # One connection, as the command has it.
    return create_async_engine(url, pool_size=1, max_overflow=0), owner, PgCheckpointer(url, None)


async def _closed(engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer) -> None:
    await checkpointer.aclose()
    await owner.close()
    await engine.dispose()


async def test_who_came_back_keeps_what_is_new(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant, neighbour: Tenant
) -> None:
    """Of the same user all that was made behind the receipt stays, a run on another's thread too."""
    await _others(engine, owner, checkpointer, tenant)
    old = await _leave_traces(engine, owner, checkpointer, tenant, CANARY, "old")
    purged_at = await owner.fetchval("SELECT clock_timestamp()")
    await owner.execute(
        "UPDATE agentflow_exports SET state = 'failed', finished_at = now() WHERE finished_at IS NULL"
    )
    new = await _leave_traces(engine, owner, checkpointer, tenant, CANARY, "new")
    # Of the same name, elsewhere.
    await write_thread(checkpointer, Scope(neighbour.tenant_id, 1, principal=CANARY), "tenant-a-10:t", CANARY)
    before = await rows_of(owner, neighbour.tenant_id)

    await applying(engine).apply([_tombstone(tenant, purged_at)])

    assert await texts_with(owner, f"{CANARY}-old") == {}
    runs = await owner.fetch("SELECT run_id FROM agentflow_runs WHERE user_id = $1", CANARY)
    assert [row["run_id"] for row in runs] == [new]
    chunks = await owner.fetch("SELECT run_id FROM agentflow_run_chunks WHERE strpos(body, $1) > 0", CANARY)
    assert [row["run_id"] for row in chunks] == [new]
    assert await texts_with(owner, str(old)) == {}
    threads = await owner.fetch("SELECT thread_id FROM agentflow_threads WHERE user_id = $1", CANARY)
    assert {row["thread_id"] for row in threads} == {f"tenant-a-1:{CANARY}-new", "tenant-a-10:t"}
    exports = "SELECT count(*) FROM agentflow_exports WHERE user_id = $1 OR thread_id = $2"
    assert await owner.fetchval(exports, CANARY, f"{CANARY}-new") == 4
    named = "SELECT bool_and(at > $1) FROM agentflow_audit_log WHERE details ->> 'user_id' = $2"
    assert await owner.fetchval(named, purged_at, CANARY) is True
    of_tenant = tenant.tenant_id
    assert [await _is_answered(engine, of_tenant, f"{key} new") for key in ("user", "thread")] == [True] * 2
    assert [await _is_answered(engine, of_tenant, f"{key} old") for key in ("user", "thread")] == [False] * 2
    assert await _is_answered(engine, OPERATOR, "operator new")
    assert not await _is_answered(engine, OPERATOR, "operator old")
    await _others_are_there(engine, owner, tenant)
    assert await rows_of(owner, neighbour.tenant_id) == before


def _tombstone(tenant: Tenant, purged_at: datetime) -> Tombstone:
    return Tombstone(tenant.tenant_id, user_digest(tenant.tenant_id, CANARY), purged_at, uuid.uuid4())


async def _only_an_answer(engine: AsyncEngine, owner: Connection, tenant: Tenant) -> None:
    await _answered(engine, tenant.tenant_id, "k", role="user", user_id=CANARY)


async def _only_a_line(engine: AsyncEngine, owner: Connection, tenant: Tenant) -> None:
    await ExportRepository(engine).request_export(
        tenant, NewExport(uuid.uuid4(), user_id=CANARY), actor=SYSTEM
    )
    await owner.execute("DELETE FROM agentflow_exports")


async def _only_a_run(engine: AsyncEngine, owner: Connection, tenant: Tenant) -> None:
    await _run_on_anothers_thread(owner, tenant, CANARY)


async def _only_an_operators_answer(engine: AsyncEngine, owner: Connection, tenant: Tenant) -> None:
    await _answered(engine, OPERATOR, "k", tenant_id=str(tenant.tenant_id), user_id=CANARY)


@pytest.mark.parametrize("leave", [_only_an_answer, _only_a_line, _only_a_run, _only_an_operators_answer])
async def test_one_place_is_enough(
    engine: AsyncEngine, owner: Connection, tenant: Tenant, leave: Any
) -> None:
    """A tombstone has a digest: its name is found wherever it stands; what is no text is skipped."""
    await owner.execute(
        "INSERT INTO agentflow_idempotency (tenant_id, key, fingerprint, effect_id, status, body, held_until)"
        " VALUES ($1, 'odd', '', gen_random_uuid(), 200, $2, now())",
        tenant.tenant_id, r'{"user_id":"\u0000","b":{"user_id":"\ud800"},"c":"\"user_id\":\"x"}',
    )  # fmt: skip
    await leave(engine, owner, tenant)
    assert await texts_with(owner, CANARY) != {}
    now = await owner.fetchval("SELECT clock_timestamp()")
    await applying(engine).apply([_tombstone(tenant, now)])
    assert await texts_with(owner, CANARY) == {}
    assert await owner.fetchval("SELECT count(*) FROM agentflow_idempotency WHERE key = 'odd'") == 1


class _DiesOnce:
    """A place that is no more when it is asked for the first time, as a process that was killed there."""

    name = "dies"

    def __init__(self) -> None:
        self.asked = 0

    async def purge(self, subject: Subject) -> int:
        self.asked += 1
        if self.asked == 1:
            raise ConnectionResetError
        return 0

    async def count(self, subject: Subject) -> int:
        return 0


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_again_after_it_died(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant, at: int
) -> None:
    """Between any two steps: what is left still says who it is."""
    await _others(engine, owner, checkpointer, tenant)
    await _leave_traces(engine, owner, checkpointer, tenant, CANARY, "0")
    stone = _tombstone(tenant, await owner.fetchval("SELECT clock_timestamp()"))
    places: list[Any] = [RunQueuePlace(engine), AnswersPlace(engine)]
    places.insert(at, _DiesOnce())
    repository = TombstoneRepository(engine, places)
    with pytest.raises(ConnectionResetError):
        await repository.apply([stone])
    assert await texts_with(owner, CANARY) != {}
    await repository.apply([stone])
    assert await texts_with(owner, CANARY) == {}
    await _others_are_there(engine, owner, tenant)
