"""Calls that meet a tenant between two places: they wait for the mover, know too little, or come too late."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import ConflictError, StaleCheckpointError, StorageError
from agentflow.storage.checkpointer import PgCheckpointer, Scope, ThreadChange, ThreadFilter, ThreadPlace
from agentflow.storage.checkpointer.langgraph_store import NEW_THREAD, LangGraphStore, StoredWrite
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import Committed, ToolIntent, ToolResult, ToolStarts
from agentflow_tenancy import Tenant
from agentflow_tenancy.moves import Mover
from agentflow_tenancy.moves.mover import Way
from tests.support import databases
from tests.support.moving import TABLES, places_of

type Connection = asyncpg.Connection[Any]
TARGET = 1000


@dataclass
class Moving:
    """A tenant with two replicas that write for it, and what moves it.

    Attributes:
        other: Learned nothing from what the first replica met.
    """

    url: str
    checkpointer: PgCheckpointer
    other: PgCheckpointer
    owner: Connection
    mover: Mover
    way: Way
    scope: Scope

    def replica(self) -> PgCheckpointer:
        """One more."""
        return PgCheckpointer(databases.app_url(self.url), None)


@pytest.fixture
async def at(
    migrated_database_url: str,
    checkpointer: PgCheckpointer,
    owner: Connection,
    engine: AsyncEngine,
    tenant: Tenant,
) -> AsyncIterator[Moving]:
    way, scope = Way(tenant.tenant_id, tenant.placement, TARGET), Scope(tenant.tenant_id, tenant.placement)
    other = PgCheckpointer(databases.app_url(migrated_database_url), None)
    mover = Mover(engine, settle_s=0)
    yield Moving(migrated_database_url, checkpointer, other, owner, mover, way, scope)
    await other.aclose()


async def nothing(_threads: int, _rows: int) -> None:
    pass


async def on_its_way(mover: Mover, way: Way) -> None:
    """Announced, and threads are made in the target already; none has moved."""
    await mover.prepare(way)
    await mover.announce(way)
    assert await mover.fence(way)


async def whole(mover: Mover, way: Way) -> None:
    await on_its_way(mover, way)
    await mover.move(way, nothing)
    await mover.settle(way)


async def make(checkpointer: PgCheckpointer, scope: Scope, name: str = "t") -> None:
    session = checkpointer.session(scope, name, new_thread=NEW_THREAD)
    async with session:
        await session.append(write_after(None, {"a": 1}, added=[message(0, name)]))


KEY = uuid.UUID(int=7)
type Call = Callable[[PgCheckpointer, Scope], Awaitable[Any]]


async def delete(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    return await checkpointer.delete_thread(scope, "t")


async def stop(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    return await checkpointer.request_stop(scope, "t")


async def prune(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    return await checkpointer.prune_thread(scope, "t", keep_last=1) == 0


async def start_tools(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    backend, snapshot = await checkpointer.backend(), await checkpointer.load(scope, "t")
    assert snapshot is not None
    intents = [ToolIntent(key=uuid.uuid4(), call_id="c", name="n", node="m")]
    starts = ToolStarts(snapshot.head, snapshot.thread_no, "r", intents)
    return len(await backend.tools.start(scope, "t", starts)) == 1


async def finish_tools(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    backend, snapshot = await checkpointer.backend(), await checkpointer.load(scope, "t")
    assert snapshot is not None
    await backend.tools.finish(scope, "t", snapshot.thread_no, [ToolResult(key=KEY, result="done")])
    return (await checkpointer.tool_calls(scope, "t"))[0].result == "done"


async def put_writes(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    writes = [StoredWrite(0, "c", "k", b"v")]
    return await LangGraphStore(checkpointer, scope).put_writes("t", None, "c", ("task", ""), writes)


async def append(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    snapshot = await checkpointer.load(scope, "t")
    return (await checkpointer.append(scope, "t", write_after(snapshot, {"a": 2}))).head == 2


async def update(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    info = await checkpointer.update_thread(scope, "t", ThreadChange(sets_name=True, name="N"))
    return info.name == "N"


async def delete_several(checkpointer: PgCheckpointer, scope: Scope) -> bool:
    return list(await checkpointer.delete_threads(scope, ThreadFilter(text="t"))) == ["t"]


CALLS: list[Call] = [
    delete,
    stop,
    prune,
    start_tools,
    finish_tools,
    put_writes,
    append,
    update,
    delete_several,
]


@asynccontextmanager
async def being_moved(owner: Connection, mover: Mover, way: Way) -> AsyncIterator[None]:
    """The mover holds every thread, and has moved it, but did not commit yet."""
    transaction = owner.transaction()
    await transaction.start()
    rows = await owner.fetch(mover._text("next_threads", way), way.tenant_id, "", 100)
    ids = [row["thread_id"] for row in rows]
    held = await owner.fetch(mover._text("hold_threads", way), way.tenant_id, ids)
    numbers = [row["thread_no"] for row in held]
    for table in TABLES[1:]:
        await owner.execute(mover._text(f"move_{table}", way), way.tenant_id, numbers)
    await owner.execute(mover._text("move_threads", way), way.tenant_id, ids)
    yield
    await transaction.commit()


async def _until_it_waits(owner: Connection) -> None:
    async with asyncio.timeout(20):
        # The database sends no signal.
        while not await owner.fetchval(  # noqa: ASYNC110
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_waited_for_the_mover_finds_the_thread(at: Moving, call: Call, knows: bool) -> None:
    """It held the row that moved: the call does what it was asked for, where the thread is now."""
    await make(at.checkpointer, at.scope)
    await at.owner.execute(
        "INSERT INTO agentflow_tool_calls (thread_no, placement, seq, idx, tenant_id, tool_key, started_by,"
        " call_id, name, node, run_id) SELECT thread_no, placement, 1, 0, tenant_id, $1, $1,"
        " 'c', 'n', 'm', 'r' FROM agentflow_threads", KEY,
    )  # fmt: skip
    await on_its_way(at.mover, at.way)
    scope = replace(at.scope, moving_to=TARGET) if knows else at.scope
    async with being_moved(at.owner, at.mover, at.way):
        calling = asyncio.ensure_future(call(at.checkpointer, scope))
        await _until_it_waits(at.owner)
    assert await calling
    assert await places_of(at.owner, at.way.tenant_id) in ({TARGET}, set())


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_knows_only_the_old_place(at: Moving, call: Call) -> None:
    """It finds the thread where it went, and leaves nothing where it was."""
    await make(at.checkpointer, at.scope)
    await at.owner.execute(
        "INSERT INTO agentflow_tool_calls (thread_no, placement, seq, idx, tenant_id, tool_key, started_by,"
        " call_id, name, node, run_id) SELECT thread_no, placement, 1, 0, tenant_id, $1, $1,"
        " 'c', 'n', 'm', 'r' FROM agentflow_threads", KEY,
    )  # fmt: skip
    await whole(at.mover, at.way)
    assert await call(at.other, at.scope)
    assert await places_of(at.owner, at.way.tenant_id) in ({TARGET}, set())


@pytest.mark.parametrize("kind", ["append", "load", "state"])
async def test_many_that_know_only_the_old_place(at: Moving, kind: str) -> None:
    """What one of them learns while another looks in the old place is news to that one, too."""
    names = [f"t{number}" for number in range(40)]
    for name in names:
        await make(at.checkpointer, at.scope, name)
    snapshots = {name: await at.checkpointer.load(at.scope, name) for name in names}
    await whole(at.mover, at.way)

    async def call(name: str) -> bool:
        if kind == "load":
            return await at.other.load(at.scope, name) is not None
        if kind == "state":
            return await at.other.load_at(at.scope, name, seq=1) is not None
        return (await at.other.append(at.scope, name, write_after(snapshots[name], {"a": 2}))).head == 2

    assert all(await asyncio.gather(*map(call, names)))
    assert await places_of(at.owner, at.way.tenant_id) == {TARGET}


async def test_a_copy_is_made_where_threads_are_made(at: Moving) -> None:
    """On the way and afterwards, by whoever knows only the old place; and once."""
    await make(at.checkpointer, at.scope)
    await on_its_way(at.mover, at.way)
    await LangGraphStore(at.other, at.scope).copy("t", "copy")
    assert (
        await at.owner.fetchval("SELECT placement FROM agentflow_threads WHERE thread_id = 'copy'") == TARGET
    )
    with pytest.raises(ConflictError, match="exists already"):
        await LangGraphStore(at.checkpointer, at.scope).copy("copy", "t")
    await at.mover.move(at.way, nothing)
    await at.mover.settle(at.way)
    late = at.replica()
    await LangGraphStore(late, at.scope).copy("copy", "again")
    await late.aclose()
    assert await places_of(at.owner, at.way.tenant_id) == {TARGET}
    snapshot = await at.other.load(at.scope, "again")
    assert snapshot is not None
    assert [stored.content for stored in snapshot.messages] == ["t"]
    assert await at.owner.fetchval("SELECT count(*) FROM agentflow_threads") == 3


async def test_a_search_looks_in_both_places(at: Moving) -> None:
    """Pages and counts hold every thread once, on the way and afterwards, also by who knows one place."""
    names = [f"t{number}" for number in range(5)]
    for name in names:
        await make(at.checkpointer, at.scope, name)
    await on_its_way(at.mover, at.way)
    await make(at.checkpointer, at.scope, "t5")

    async def check(who: PgCheckpointer) -> None:
        found, place = [], None
        while page := await who.search_threads(
            at.scope, ThreadFilter(text="t"), sort="thread_id", after=place, limit=2
        ):
            found += [info.thread_id for info in page]
            place = ThreadPlace(0, found[-1])
        assert found == [*names, "t5"]
        assert await who.count_threads(at.scope, ThreadFilter(name=None)) == 6

    await check(at.other)
    await at.mover.move(at.way, nothing)
    await at.mover.settle(at.way)
    late = at.replica()
    await check(late)
    assert len(await late.delete_threads(at.scope, ThreadFilter(ids=[*names, "t5"]))) == 6
    await late.aclose()


async def test_a_whole_copy_is_made_where_threads_are_made(at: Moving) -> None:
    """On the way and afterwards, with every version, by whoever knows only the old place."""
    await make(at.checkpointer, at.scope)
    await at.checkpointer.append(
        at.scope, "t", write_after(await at.checkpointer.load(at.scope, "t"), {"a": 2})
    )
    await on_its_way(at.mover, at.way)
    await at.other.copy_thread(at.scope, "t", "copy")
    for target in ("t", "copy"):
        with pytest.raises(ConflictError, match="exists already"):
            await at.checkpointer.copy_thread(at.scope, "copy", target)
    await at.mover.move(at.way, nothing)
    await at.mover.settle(at.way)
    late = at.replica()
    await late.copy_thread(at.scope, "copy", "again")
    await late.aclose()
    assert await places_of(at.owner, at.way.tenant_id) == {TARGET}
    assert (await at.other.load_at(at.scope, "again", 1)).fields == {"a": 1}
    assert (await at.other.load_at(at.scope, "again", 2)).fields == {"a": 2}


async def test_no_thread_is_made_in_both_places(at: Moving) -> None:
    """Neither by who knows both, nor, on the way back, by who knows only one: it exists, they are told."""
    new = write_after(None, {"a": 2})
    await make(at.checkpointer, at.scope, "old")
    await on_its_way(at.mover, at.way)
    await make(at.checkpointer, at.scope, "new")
    for name in ("old", "new"):
        for who in (at.checkpointer, at.other):
            with pytest.raises(StaleCheckpointError) as told:
                await who.append(at.scope, name, new)
            assert told.value.found == 1
    back = Way(at.way.tenant_id, at.way.target, at.way.source)
    assert await at.mover.fence(back)
    late = at.replica()
    for name in ("old", "new"):
        with pytest.raises(StaleCheckpointError):
            await late.append(at.scope, name, new)
    assert (await late.append(at.scope, "third", new)).placement == at.way.source
    await late.aclose()
    names = await at.owner.fetch("SELECT thread_id FROM agentflow_threads ORDER BY 1")
    assert [row["thread_id"] for row in names] == ["new", "old", "third"]


async def test_two_make_the_same_thread_while_the_fence_falls(at: Moving) -> None:
    """One of them does, each time."""
    await at.mover.prepare(at.way)
    await at.mover.announce(at.way)

    async def race(who: PgCheckpointer, made: list[str]) -> None:
        for number in range(150):
            try:
                await who.append(at.scope, f"t{number}", write_after(None, {"a": 1}))
                made.append(f"t{number}")
            except StaleCheckpointError:
                continue

    async def there_and_back() -> None:
        back = Way(at.way.tenant_id, at.way.target, at.way.source)
        for _ in range(5):
            assert await at.mover.fence(at.way)
            assert await at.mover.fence(back)

    first: list[str] = []
    second: list[str] = []
    await asyncio.gather(race(at.checkpointer, first), race(at.other, second), there_and_back())
    assert sorted(first + second) == sorted(f"t{number}" for number in range(150))
    assert await at.owner.fetchval("SELECT count(*) FROM agentflow_threads") == 150


async def test_a_dropped_partition_is_no_dead_end(at: Moving) -> None:
    """A run that began in a partition of the tenant's own goes on in the pool, and makes threads there."""
    await whole(at.mover, at.way)
    own = replace(at.scope, placement=TARGET)
    async with at.checkpointer.session(own, "t") as session:
        await session.append(write_after(None, {"a": 1}))
        back = Way(at.way.tenant_id, at.way.target, at.way.source)
        await whole(at.mover, back)
        assert await at.mover.clean(TARGET)
        committed = await session.append(write_after(session.snapshot, {"a": 2}))
    assert (committed.head, committed.placement) == (2, at.way.source)
    assert (await at.checkpointer.append(own, "new", write_after(None, {}))).placement == at.way.source


async def test_a_placement_without_partition_is_told(at: Moving) -> None:
    """What to do about it, for a tenant that never moved; others in the same statement are written."""
    wrong, right = Scope(uuid.uuid4(), 77), Scope(uuid.uuid4(), 3)

    async def write(scope: Scope, name: str) -> Any:
        return await at.other.append(scope, name, write_after(None, {}))

    found = await asyncio.gather(
        *(write(wrong if number % 5 == 0 else right, f"t{number}") for number in range(20)),
        return_exceptions=True,
    )
    for number, answer in enumerate(found):
        if number % 5 == 0:
            assert isinstance(answer, StorageError)
            assert "partition_statements" in str(answer)
        else:
            assert isinstance(answer, Committed)
