"""Moving a tenant while it works: every row exactly once, nothing acknowledged is lost, nothing is missed."""

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow_tenancy import Tenant, TenantRepository, UsageRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.errors import MoveConflictError
from agentflow_tenancy.moves import Mover, Operation, OperationRepository
from agentflow_tenancy.moves.mover import Way
from agentflow_worker.operation_runner import OperationRunner
from agentflow_worker.partition_janitor import PartitionJanitor
from tests.support import databases
from tests.support.moving import Writers, check, places_of, rows_of

type Connection = asyncpg.Connection[Any]


def scope_of(tenant: Tenant) -> Scope:
    return Scope(tenant.tenant_id, tenant.placement)


def runner_on(engine: AsyncEngine, **options: Any) -> OperationRunner:
    return OperationRunner(
        OperationRepository(engine), Mover(engine, settle_s=0, **options), lease_s=2, poll_s=0.02
    )


async def moved(engine: AsyncEngine, tenant: Tenant, target: int | None) -> Operation:
    """Have it moved, and wait for the end."""
    repository = OperationRepository(engine)
    current = await TenantRepository(engine).find_tenant(tenant.slug)
    assert current is not None
    operation = await repository.request(current, target, actor=SYSTEM)
    runner = runner_on(engine)
    while await runner.work_once():
        pass
    done = await repository.get(operation.operation_id)
    assert done is not None
    return done


async def test_a_tenant_moves_while_it_writes(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """To a partition of its own and back, under writers whose idea of where it is was made before."""
    writers = Writers(checkpointer, scope_of(tenant))
    neighbour = Writers(checkpointer, Scope(uuid.uuid4(), tenant.placement), seed=1)
    stop = asyncio.Event()
    await neighbour.run_turns(20, 5)
    before = await rows_of(owner, neighbour.scope.tenant_id)
    tasks = [asyncio.create_task(writers.run(stop, number, 4)) for number in range(8)]
    await writers.until_threads(8)
    there = await moved(engine, tenant, None)
    assert (there.state, there.kind) == ("done", "promote")
    assert there.target is not None
    assert there.target >= 1000
    back = await moved(engine, tenant, tenant.placement)
    assert (back.state, back.kind) == ("done", "demote")
    stop.set()
    await asyncio.gather(*tasks)
    await check(writers, owner, tenant.placement)
    assert len(writers.heads) >= 8
    assert there.threads_moved >= 8
    assert await rows_of(owner, neighbour.scope.tenant_id) == before
    found = await owner.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ $1", f"_p{there.target}$")
    assert found == 0, "empty partitions are dropped"


async def test_every_row_is_as_it_was(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """But for where it is: times, numbers, removed messages, archives, tools, writes. And no usage."""
    scope = scope_of(tenant)
    writers = Writers(checkpointer, scope)
    await writers.run_turns(50, 6)
    by_owner = PgCheckpointer.from_engine(engine, None)
    await by_owner.pack_idle(idle_for=_ZERO)
    await by_owner.aclose()
    await owner.execute(
        "INSERT INTO agentflow_tool_calls (thread_no, placement, seq, idx, tenant_id, tool_key, started_by,"
        " call_id, name, node, run_id) SELECT thread_no, placement, 1, 0, tenant_id, gen_random_uuid(),"
        " gen_random_uuid(), 'c', 'n', 'm', 'r' FROM agentflow_threads"
    )
    await owner.execute(
        "INSERT INTO agentflow_writes (thread_no, placement, idx, tenant_id, checkpoint, task_id, channel,"
        " kind, value) SELECT thread_no, placement, 0, tenant_id, 'c', 't', 'x', 'k', '\\x00'"
        " FROM agentflow_threads"
    )
    before = await rows_of(owner, tenant.tenant_id)
    used = await _used(owner)
    there = await moved(engine, tenant, None)
    assert await rows_of(owner, tenant.tenant_id) == before
    assert await places_of(owner, tenant.tenant_id) == {there.target}
    assert there.rows_moved == sum(len(rows) for rows in before.values())
    await moved(engine, tenant, 5)
    assert await rows_of(owner, tenant.tenant_id) == before
    assert await places_of(owner, tenant.tenant_id) == {5}
    assert await _used(owner) == used


async def _used(owner: Connection) -> Any:
    return await owner.fetchrow(
        "SELECT sum(bytes), sum(threads), sum(checkpoints) FROM"
        " (SELECT bytes, threads, checkpoints FROM agentflow_usage_events"
        " UNION ALL SELECT bytes, threads, checkpoints FROM agentflow_usage_hours) u"
    )


_ZERO = timedelta(0)
STEPS = ["prepare", "announce", "fence", "move", "finish", "clean"]


class _KilledError(BaseException):
    """Stands for the end of the process: nothing is cleaned up after it."""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_mover_may_die_at_each_step(
    engine: AsyncEngine,
    owner: Connection,
    checkpointer: PgCheckpointer,
    tenant: Tenant,
    step: str,
    when: str,
) -> None:
    """Another one goes on from there, once the first is no longer heard of; writers notice nothing."""
    writers = Writers(checkpointer, scope_of(tenant))
    stop = asyncio.Event()
    tasks = [asyncio.create_task(writers.run(stop, number, 3)) for number in range(3)]
    await writers.until_threads(3)
    repository = OperationRepository(engine)
    operation = await repository.request(tenant, None, actor=SYSTEM)
    dying = Mover(engine, settle_s=0)
    name = "settle" if step == "finish" else step
    original = getattr(dying, name)

    async def die(*arguments: Any) -> Any:
        if when == "after":
            await original(*arguments)
        raise _KilledError

    setattr(dying, name, die)
    first = OperationRunner(repository, dying, lease_s=0.4, poll_s=0.02)
    with pytest.raises(_KilledError):
        await first.work_once()
    second = runner_on(engine)
    async with asyncio.timeout(20):
        while (now := await repository.get(operation.operation_id)) and now.state == "running":
            await second.work_once()
            await asyncio.sleep(0.02)
    assert now is not None
    assert (now.state, now.attempts) == ("done", 2)
    assert now.target is not None
    stop.set()
    await asyncio.gather(*tasks)
    await check(writers, owner, now.target)


async def test_a_move_is_taken_back(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """Cancelled half-way, all of it is where it was; before anybody works on it, at once."""
    writers = Writers(checkpointer, scope_of(tenant))
    await writers.run_turns(50, 30)
    repository = OperationRepository(engine)
    waiting = await repository.request(tenant, None, actor=SYSTEM)
    cancelled = await repository.cancel(waiting, actor=SYSTEM)
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert await repository.cancel(waiting, actor=SYSTEM) is None

    operation = await repository.request(tenant, None, actor=SYSTEM)
    mover = Mover(engine, settle_s=0)
    batches = 0
    original = mover._move_batch

    async def move_batch(way: Way, after: str, most_rows: int) -> Any:
        nonlocal batches
        batches += 1
        if batches == 2:
            await repository.cancel(operation, actor=SYSTEM)
        return await original(way, after, min(most_rows, 2))

    mover._move_batch = move_batch  # type: ignore[method-assign]
    runner = OperationRunner(repository, mover, lease_s=2, poll_s=0.02)
    assert await runner.work_once()
    done = await repository.get(operation.operation_id)
    assert done is not None
    assert done.state == "cancelled"
    assert done.threads_moved > 2
    await check(writers, owner, tenant.placement)
    current = await TenantRepository(engine).find_tenant("acme")
    assert current is not None
    assert (current.placement, current.moving_to) == (tenant.placement, None)


async def test_one_move_at_a_time(engine: AsyncEngine, tenant: Tenant) -> None:
    """Asking again for the same joins; for another is refused; two runners share no operation."""
    repository = OperationRepository(engine)
    asked = await asyncio.gather(*(repository.request(tenant, None, actor=SYSTEM) for _ in range(5)))
    assert len({operation.operation_id for operation in asked}) == 1
    with pytest.raises(MoveConflictError, match=str(asked[0].operation_id)):
        await repository.request(tenant, 5, actor=SYSTEM)
    with pytest.raises(MoveConflictError, match="already"):
        await repository.request(tenant, tenant.placement, actor=SYSTEM)
    worked = await asyncio.gather(*(runner_on(engine).work_once() for _ in range(4)))
    assert sum(worked) == 1


async def test_a_long_transaction_is_waited_for(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """While one writes threads the fence opens again, so that threads can be made; then the move goes on."""
    repository = OperationRepository(engine)
    operation = await repository.request(tenant, None, actor=SYSTEM)
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute("DELETE FROM agentflow_threads WHERE tenant_id = $1 AND placement = 3", uuid.uuid4())
    working = asyncio.create_task(runner_on(engine, fence_s=0.05).work_once())
    writers = Writers(checkpointer, scope_of(tenant))
    await _until_step(repository, operation, "fence")
    await writers.run_turns(50, 5)
    now = await repository.get(operation.operation_id)
    assert now is not None
    assert now.step == "fence"
    assert writers.heads
    await transaction.rollback()
    await working
    now = await repository.get(operation.operation_id)
    assert now is not None
    assert now.state == "done"
    assert now.target is not None
    await check(writers, owner, now.target)


async def _until_step(repository: OperationRepository, operation: Operation, step: str) -> None:
    async with asyncio.timeout(20):
        # The database sends no signal.
        while (now := await repository.get(operation.operation_id)) and now.step != step:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_nobody_makes_a_thread_behind_the_mover(
    engine: AsyncEngine, owner: Connection, migrated_database_url: str, tenant: Tenant
) -> None:
    """Whatever a writer thinks: in the old place none is made, and one that moved is not made again."""
    scope = scope_of(tenant)
    old = PgCheckpointer(databases.app_url(migrated_database_url), None)
    await old.append(scope, "t", write_after(None, {"a": 1}, added=[message(0, "a")]))
    there = await moved(engine, tenant, None)
    late = PgCheckpointer(databases.app_url(migrated_database_url), None)
    committed = await late.append(scope, "new", write_after(None, {"a": 1}))
    assert committed.placement == there.target
    async with late.session(scope, "t") as session:
        assert session.snapshot is not None
        await session.append(write_after(session.snapshot, {"a": 2}))
    for checkpointer in (old, late):
        snapshot = await checkpointer.load(scope, "t")
        assert snapshot is not None
        assert snapshot.head == 2
        names = {info.thread_id for info in await checkpointer.list_threads(scope)}
        assert names == {"t", "new"}
        assert await checkpointer.load(replace(scope, placement=7), "t") is not None
    assert await old.delete_thread(scope, "t")
    assert await late.load(scope, "t") is None
    assert await places_of(owner, tenant.tenant_id) == {there.target}
    await old.aclose()
    await late.aclose()


async def test_a_target_that_refuses_loses_nothing(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """A full disk there: the move says so and is tried again; the tenant works on where its threads are."""
    writers = Writers(checkpointer, scope_of(tenant))
    await writers.run_turns(30, 6)
    repository = OperationRepository(engine)
    operation = await repository.request(tenant, 5, actor=SYSTEM)
    await owner.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"
    )
    await owner.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON agentflow_messages_p5"
        " FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    await runner_on(engine).work_once()
    now = await repository.get(operation.operation_id)
    assert now is not None
    assert (now.state, now.threads_moved) == ("running", 0)
    assert now.error
    await owner.execute("DROP TRIGGER full_disk ON agentflow_messages_p5; DROP FUNCTION full_disk()")
    await owner.execute("UPDATE agentflow_operations SET held_until = now() - interval '1 s'")
    await runner_on(engine).work_once()
    now = await repository.get(operation.operation_id)
    assert now is not None
    assert (now.state, now.error) == ("done", None)
    await check(writers, owner, 5)


async def test_what_could_not_be_dropped_is_dropped_later(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """A long transaction reads the partition that a tenant leaves: the move ends and says so."""
    writers = Writers(checkpointer, scope_of(tenant))
    await writers.run_turns(20, 3)
    there = await moved(engine, tenant, None)
    transaction = owner.transaction()
    await transaction.start()
    assert await owner.fetchval("SELECT count(*) FROM agentflow_threads") == len(writers.heads)
    back = await moved(engine, tenant, 5)
    assert back.state == "done"
    assert str(there.target) in str(back.error)
    janitor = PartitionJanitor(Mover(engine), every_s=60)
    await writers.run_turns(20, 3)
    await transaction.rollback()
    assert (await janitor.tidy(), await janitor.tidy()) == (1, 0)
    left = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ $1"
    assert await owner.fetchval(left, f"_p{there.target}$") == 0
    assert await owner.fetchval("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 0
    await check(writers, owner, 5)


async def test_sizes_are_the_same_before_and_after_a_roll_up(
    engine: AsyncEngine, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """However often it is rolled up, by how many at once; a deleted thread is kept no more."""
    operations, usage = OperationRepository(engine), UsageRepository(engine)
    writers = Writers(checkpointer, scope_of(tenant))
    before = await operations.tenant_sizes()
    for _ in range(3):
        await writers.run_turns(10, 3)
        before = await operations.tenant_sizes()
        await asyncio.gather(*(usage.roll_up() for _ in range(3)))
        assert await operations.tenant_sizes() == before
    assert before[0].threads == len(writers.heads)
    assert before[0].checkpoints_last_hour == sum(writers.heads.values())
    assert before[0].bytes > 0
    for name in writers.heads:
        await checkpointer.delete_thread(scope_of(tenant), name)
    await usage.roll_up()
    after = (await operations.tenant_sizes())[0]
    assert (after.threads, after.bytes) == (0, 0)


async def test_a_worker_that_is_told_to_stop_hands_over(
    engine: AsyncEngine, owner: Connection, checkpointer: PgCheckpointer, tenant: Tenant
) -> None:
    """In the middle of a move: the next worker goes on at once, long before the lease would end."""
    writers = Writers(checkpointer, scope_of(tenant))
    await writers.run_turns(30, 20)
    repository = OperationRepository(engine)
    operation = await repository.request(tenant, 5, actor=SYSTEM)
    stop = asyncio.Event()
    mover = Mover(engine, settle_s=0)
    original = mover._move_batch

    async def move_batch(way: Way, after: str, most_rows: int) -> Any:
        stop.set()
        return await original(way, after, 1)

    mover._move_batch = move_batch  # type: ignore[method-assign]
    await OperationRunner(repository, mover, lease_s=3600).run(stop)
    now = await repository.get(operation.operation_id)
    assert now is not None
    assert (now.state, now.step) == ("running", "move")
    assert await runner_on(engine).work_once()
    now = await repository.get(operation.operation_id)
    assert now is not None
    assert (now.state, now.attempts) == ("done", 2)
    await check(writers, owner, 5)
