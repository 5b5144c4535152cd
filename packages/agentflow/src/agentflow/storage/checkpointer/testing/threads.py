"""Threads: ids, attributes, lists, deletion, expiry."""
# ruff: noqa: S101

from __future__ import annotations

from datetime import timedelta
from typing import Final, get_args

from agentflow.errors import InvalidError, InvalidIdError, StaleCheckpointError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.filters import ThreadFilter
from agentflow.storage.checkpointer.run_status import PendingInterrupt, ThreadStatus, new_interrupt
from agentflow.storage.checkpointer.testing.case import (
    Cases,
    Thread,
    contents,
    message,
    new_scope,
    raised,
    write_after,
)
from agentflow.storage.checkpointer.types import NewThread

CASES = Cases()

# Each differs from its neighbours only where a pattern, a separator or a normal form could confuse them.
STRANGE_IDS: Final = [
    "a", "A", " a", "a ", "a%", "a_", "ab", "a\\", "a:b", "a:b:c", "a}:b", "{a}", "a{b", "a'b", 'a"b',
    "a\nb", "a\tb",
    "a/b", "a?b", "a#b", "a%62", "%", "_", "\\", "*", "?", "[a]", ":", "{}", "{}:l", "0", "00",
    "é", "e\u0301",
    "\U0001f600", "\u200b", "x" * 255, "x" * 256, "x" * 511, "x" * 512, "é" * 256,
    "; DROP TABLE agentflow_threads",
]  # fmt: skip


@CASES.add
async def ids_never_collide(checkpointer: BaseCheckpointer) -> None:
    """Every id is itself, byte for byte: none reads, lists or deletes another's thread."""
    scope = new_scope()
    for thread_id in STRANGE_IDS:
        await Thread(checkpointer, scope, thread_id).write({"id": thread_id}, added=[message(0, thread_id)])
    for thread_id in STRANGE_IDS:
        snapshot = await Thread(checkpointer, scope, thread_id).load()
        assert (snapshot.head, snapshot.fields, contents(snapshot)) == (1, {"id": thread_id}, [thread_id])
        async with checkpointer.session(scope, thread_id) as session:
            assert session.snapshot == snapshot
    listed = {info.thread_id for info in await checkpointer.list_threads(scope)}
    assert listed == set(STRANGE_IDS)
    for i, thread_id in enumerate(STRANGE_IDS):
        assert await checkpointer.delete_thread(scope, thread_id)
        left = {info.thread_id for info in await checkpointer.list_threads(scope)}
        assert left == set(STRANGE_IDS[i + 1 :])


@CASES.add
async def ids_that_cannot_be_stored(checkpointer: BaseCheckpointer) -> None:
    """Refused with a typed error, before anything else happens."""
    scope = new_scope()
    for thread_id in ("", "  ", "\n", "a\0b", "\0", "\ud800", "x" * 513, "é" * 257):
        try:
            checkpointer.session(scope, thread_id)
        except InvalidIdError:
            continue
        raise AssertionError(f"the id {thread_id[:10]!r} was accepted")
    for attributes in (
        NewThread(user_id="a\0"),
        NewThread(name="\udfff"),
        NewThread(metadata={"a": "\0"}),
        NewThread(metadata={"a": float("nan")}),
        NewThread(metadata={"a": "x" * 2**20}),
    ):
        try:
            checkpointer.session(scope, "t", new_thread=attributes)
        except InvalidError:
            continue
        raise AssertionError("attributes that cannot be stored were accepted")


@CASES.add
async def attributes_are_those_of_the_first_checkpoint(checkpointer: BaseCheckpointer) -> None:
    """Owner, name and metadata are set when the thread is made; run and times follow each write."""
    thread = Thread(checkpointer)
    assert await checkpointer.get_thread(thread.scope, thread.id) is None
    metadata = {"k": [1, 2.5, None, "%"], "\\u0000": "shown, not meant"}
    new = NewThread(user_id="u:1", name="N%", metadata=metadata)
    async with checkpointer.session(thread.scope, thread.id, new_thread=new) as session:
        await session.append(write_after(None, run_id="r1"))
    first = await checkpointer.get_thread(thread.scope, thread.id)
    other = NewThread(user_id="u:2", name="M")
    async with checkpointer.session(thread.scope, thread.id, new_thread=other) as session:
        await session.append(write_after(await session.reload(), run_id="r2"))
    second = await checkpointer.get_thread(thread.scope, thread.id)
    assert first is not None
    assert second is not None
    assert (second.thread_id, second.head, second.run_id) == (thread.id, 2, "r2")
    assert (second.user_id, second.name, second.metadata) == ("u:1", "N%", metadata)
    assert (first.run_id, second.created_at) == ("r1", first.created_at)
    assert second.updated_at > first.updated_at
    assert second.created_at.tzinfo is not None


@CASES.add
async def lists_are_ordered_searched_and_cut(checkpointer: BaseCheckpointer) -> None:
    """Last changed first; search is for parts of id or name and never a pattern."""
    scope = new_scope()
    names = {"a%b": None, "aXb": "Plan_B", "snake_case": "100%", "snakeXcase": None, "back\\slash": "planXb"}
    for thread_id, name in names.items():
        async with checkpointer.session(scope, thread_id, new_thread=NewThread(name=name)) as session:
            await session.append(write_after(None))
    await Thread(checkpointer, scope, "a%b").write({"changed": True})

    async def ids(search: str | None = None, offset: int = 0, limit: int = 100) -> list[str]:
        found = await checkpointer.list_threads(scope, search=search, offset=offset, limit=limit)
        return [info.thread_id for info in found]

    newest_first = ["a%b", "back\\slash", "snakeXcase", "snake_case", "aXb"]
    assert await ids() == newest_first
    assert await ids(offset=1, limit=2) == newest_first[1:3]
    assert await ids(offset=9) == []
    assert await ids("%") == ["a%b", "snake_case"]
    assert await ids("PLAN_b") == ["aXb"]
    assert await ids("e_c") == ["snake_case"]
    assert await ids("\\") == ["back\\slash"]
    assert await ids("zzz") == []


@CASES.add
async def threads_tell_how_their_run_stands(checkpointer: BaseCheckpointer) -> None:
    """Alone and in lists, whatever else the state holds; what they wait for is told of one alone."""
    waits = new_interrupt("A", {"execution_meta": {"status": "error"}, "nul": "\0"})
    breakpoint_ = new_interrupt("B,C", reason="interrupt_before")
    lure = '"execution_meta":{"current_node":"A","step":1,"status":"error"'
    stands: dict[str | None, ThreadStatus] = {
        None: "idle",
        "completed": "idle",
        "running": "running",
        "error": "error",
        "interrupted_before": "interrupted",
        "interrupted_after": "interrupted",
    }
    for status, expected in stands.items():
        for asked in ([], [waits], [breakpoint_]):
            thread = Thread(checkpointer)
            meta = {
                "current_node": 'a"\\\n' + lure,
                "step": 12,
                "status": status,
                "interrupt_data": {"interrupts": [one.as_data() for one in asked]} if asked else None,
            }
            fields = {"context_summary": lure, "execution_meta": meta, "other": {"execution_meta": lure}}
            await thread.write(fields if status else {"context_summary": lure})
            info = await checkpointer.get_thread(thread.scope, thread.id)
            [listed] = await checkpointer.list_threads(thread.scope)
            assert info is not None
            assert (info.status, list(info.interrupts or ())) == (expected, asked if status else [])
            assert (listed.status, listed.interrupts) == (expected, None)
            for one in get_args(ThreadStatus):
                wanted, found = ThreadFilter(status=one), int(one == expected)
                assert len(await checkpointer.search_threads(thread.scope, wanted)) == found
                assert await checkpointer.count_threads(thread.scope, wanted) == found
            for one in (*(each for each in get_args(ThreadStatus) if each != expected), expected):
                gone = [thread.id] if one == expected else []
                assert list(await checkpointer.delete_threads(thread.scope, ThreadFilter(status=one))) == gone


@CASES.add
async def delete_leaves_nothing(checkpointer: BaseCheckpointer) -> None:
    """Deleted with all below it; the same id starts at 1 again, with nothing of the life before."""
    thread = Thread(checkpointer)
    neighbour = Thread(checkpointer, thread.scope, "t%")
    await neighbour.write({"n": 1}, added=[message(0, "stays")])
    old = await thread.write({"i": 0}, added=[message(0, "old 0")])
    for i in range(1, 40):
        await thread.write({"i": i}, added=[message(i, f"old {i}")])
    assert await checkpointer.delete_thread(thread.scope, thread.id) is True
    assert await checkpointer.delete_thread(thread.scope, thread.id) is False
    assert await checkpointer.load(thread.scope, thread.id) is None
    assert await checkpointer.get_thread(thread.scope, thread.id) is None
    assert list(await checkpointer.history(thread.scope, thread.id)) == []
    new = await thread.write({"new": True}, added=[message(0, "new")])
    assert (new.head, new.thread_no != old.thread_no) == (1, True)
    snapshot = await thread.load()
    assert (snapshot.fields, contents(snapshot), snapshot.next_pos) == ({"new": True}, ["new"], 1)
    assert [e.seq for e in await checkpointer.history(thread.scope, thread.id)] == [1]
    assert contents(await neighbour.load()) == ["stays"]


@CASES.add
async def late_write_after_delete_is_refused(checkpointer: BaseCheckpointer) -> None:
    """A run that was under way cannot bring a deleted thread back, nor write into its next life."""
    thread = Thread(checkpointer)
    await thread.write({"i": 1}, added=[message(0, "old")])
    await thread.write({"i": 2})
    old = await thread.load()
    async with checkpointer.session(thread.scope, thread.id) as session:
        assert await checkpointer.delete_thread(thread.scope, thread.id)
        late = write_after(old, {"i": 3}, added=[message(1, "late")], removed=[0])
        assert (await raised(StaleCheckpointError, session.append(late))).found == 0
        assert await session.reload() is None
    assert await checkpointer.load(thread.scope, thread.id) is None
    async with checkpointer.session(thread.scope, thread.id) as session:
        await session.reload()
        await session.append(write_after(None, {"life": 2}))
        await session.append(write_after(session.snapshot, {"life": 2}))
    await raised(StaleCheckpointError, thread.put(write_after(old, {"i": 3}, added=[message(1, "late")])))
    snapshot = await thread.load()
    assert (snapshot.head, snapshot.fields, list(snapshot.messages)) == (2, {"life": 2}, [])


@CASES.add
async def deleted_thread_does_not_come_back_through_a_session(checkpointer: BaseCheckpointer) -> None:
    """A session that starts after the deletion writes version 1 of a new life."""
    thread = Thread(checkpointer)
    await thread.write({"old": True}, added=[message(0, "old")])
    async with checkpointer.session(thread.scope, thread.id) as session:
        await session.append(write_after(session.snapshot, {"old": 2}))
        assert await checkpointer.delete_thread(thread.scope, thread.id)
    async with checkpointer.session(thread.scope, thread.id) as session:
        if session.snapshot is not None:
            assert session.from_cache, "a deleted thread was read from the store"
            await raised(StaleCheckpointError, session.append(write_after(session.snapshot, {"old": 3})))
            assert await session.reload() is None
        assert (await session.append(write_after(None, {"new": True}))).head == 1
    assert (await thread.load()).fields == {"new": True}


@CASES.add
async def unchanged_threads_are_swept(checkpointer: BaseCheckpointer) -> None:
    """Only threads unchanged for long enough go, in as many batches as it takes."""
    scope = new_scope()
    for i in range(5):
        await Thread(checkpointer, scope, f"t{i}").write({"i": i}, added=[message(0)])
    await checkpointer.delete_expired(older_than=timedelta(days=1))
    assert len(await checkpointer.list_threads(scope)) == 5
    assert await checkpointer.delete_expired(batch_size=2, older_than=timedelta(0)) >= 5
    assert list(await checkpointer.list_threads(scope)) == []
    assert (await Thread(checkpointer, scope, "t0").write({"again": True})).head == 1


@CASES.add
async def living_threads_are_not_swept(checkpointer: BaseCheckpointer) -> None:
    """What waits for an answer or runs stays, however old; what was stopped, failed or ended goes."""
    scope = new_scope()
    waits, breakpoint_ = new_interrupt("A", {"q": 1}), new_interrupt("B", reason="interrupt_before")
    stands: dict[str, tuple[str, PendingInterrupt | None]] = {
        "asked": ("interrupted_after", waits),
        "paused": ("interrupted_before", breakpoint_),
        "answered in part": ("running", waits),
        "runs": ("running", None),
        "stopped": ("interrupted_after", None),
        "failed": ("error", None),
        "ended": ("completed", waits),
    }
    for name, (status, asked) in stands.items():
        data = None if asked is None else {"interrupts": [asked.as_data()]}
        meta = {"current_node": "A", "step": 1, "status": status, "interrupt_data": data}
        await Thread(checkpointer, scope, name).write({"execution_meta": meta})
    await checkpointer.delete_expired(older_than=timedelta(0))
    left = [info.thread_id for info in await checkpointer.list_threads(scope)]
    assert sorted(left) == ["answered in part", "asked", "paused", "runs"]
