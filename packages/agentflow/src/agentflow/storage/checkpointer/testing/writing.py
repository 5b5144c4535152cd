"""Checkpoints: versions without gaps, stale writers refused, retries with one effect, data exact."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
import copy
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

from agentflow.errors import (
    InvalidError,
    InvalidIdError,
    StaleCheckpointError,
    StateEncodingError,
    ThreadFullError,
    TooLargeError,
)
from agentflow.storage.checkpointer.base import BaseCheckpointer, ThreadSession
from agentflow.storage.checkpointer.testing.case import (
    Cases,
    Thread,
    message,
    new_scope,
    raised,
    write_after,
)
from agentflow.storage.checkpointer.types import CheckpointWrite, Committed, NewThread, StoredMessage

CASES = Cases()

EXACT: Final[dict[str, Any]] = {
    "big": 10**30,
    "negative": -(2**70),
    "float": 0.1 + 0.2,
    "tiny": 5e-324,
    "minus zero": -0.0,
    "one": 1,
    "one point": 1.0,
    "true": True,
    "null": None,
    "empty": [{}, [], ""],
    "nul": "a\0b",
    "emoji": "\U0001f469\u200d\U0001f680 e\u0301 \xe9",
    "quotes": "'\"\\ $1 %s {} :x",
    "keys": {"z": 1, "a": 2, "": 3, "\0": 4},
}


@CASES.add
async def first_checkpoint_is_version_1(checkpointer: BaseCheckpointer) -> None:
    """A thread is not there, then is there whole with its first checkpoint."""
    thread = Thread(checkpointer)
    assert await checkpointer.load(thread.scope, thread.id) is None
    committed = await thread.write({"a": 1}, added=[message(0, "hi"), message(1, "ho")])
    snapshot = await thread.load()
    assert (committed.head, committed.stop_requested) == (1, False)
    assert (snapshot.head, snapshot.thread_no, snapshot.next_pos) == (1, committed.thread_no, 2)
    assert snapshot.fields == {"a": 1}
    assert [row.content for row in snapshot.messages] == ["hi", "ho"]


@CASES.add
async def versions_have_no_gap(checkpointer: BaseCheckpointer) -> None:
    """Each checkpoint is one version further, through one session and through many."""
    thread = Thread(checkpointer)
    async with checkpointer.session(thread.scope, thread.id) as session:
        for i in range(40):
            await session.append(write_after(session.snapshot, {"i": i}))
    heads = [(await thread.write({"i": i})).head for i in range(5)]
    entries = await checkpointer.history(thread.scope, thread.id)
    assert heads == [41, 42, 43, 44, 45]
    assert [entry.seq for entry in entries] == list(range(45, 0, -1))
    assert all(entry.parent == entry.seq - 1 for entry in entries)


@CASES.add
async def stale_write_is_refused(checkpointer: BaseCheckpointer) -> None:
    """Who did not see the head is told so, and nothing of the write stays."""
    thread = Thread(checkpointer)
    await thread.write({"a": 1}, added=[message(0)])
    old = await thread.load()
    await thread.write({"a": 2})
    for behind in (write_after(old, {"a": 9}, added=[message(1)], removed=[0]), write_after(old)):
        error = await raised(StaleCheckpointError, thread.put(behind))
        assert (error.expected, error.found) == (1, 2)
    ahead = replace(write_after(await thread.load()), expected_head=7)
    assert (await raised(StaleCheckpointError, thread.put(ahead))).found == 2
    snapshot = await thread.load()
    assert (snapshot.head, snapshot.fields, len(snapshot.messages)) == (2, {"a": 2}, 1)


@CASES.add
async def creating_twice_is_refused(checkpointer: BaseCheckpointer) -> None:
    """A writer that believed the thread new does not overwrite it."""
    thread = Thread(checkpointer)
    await thread.write({"a": 1})
    error = await raised(StaleCheckpointError, thread.put(write_after(None, {"a": 2}, added=[message(0)])))
    assert (error.expected, error.found) == (0, 1)
    assert (await thread.load()).fields == {"a": 1}


@CASES.add
async def going_on_with_a_thread_that_is_not_there_is_refused(checkpointer: BaseCheckpointer) -> None:
    """A later checkpoint never makes a thread."""
    thread = Thread(checkpointer)
    write = replace(write_after(None, {"a": 1}), expected_head=3, thread_no=1)
    assert (await raised(StaleCheckpointError, thread.put(write))).found == 0
    assert await checkpointer.load(thread.scope, thread.id) is None


@CASES.add
async def retry_has_one_effect(checkpointer: BaseCheckpointer) -> None:
    """The same checkpoint sent again is acknowledged with its version, also after others followed."""
    thread = Thread(checkpointer)
    first = write_after(None, {"a": 1}, added=[message(0)])
    acks = [await thread.put(first), await thread.put(first)]
    second = write_after(await thread.load(), {"a": 2}, added=[message(0, "new")], removed=[0])
    acks += [await thread.put(second), await thread.put(second)]
    await thread.write({"a": 3})
    acks += [await thread.put(first), await thread.put(second)]
    assert [ack.head for ack in acks] == [1, 1, 2, 2, 1, 2]
    assert len({ack.thread_no for ack in acks}) == 1
    snapshot = await thread.load()
    assert (snapshot.head, snapshot.fields) == (3, {"a": 3})
    assert [row.content for row in snapshot.messages] == ["new"]
    assert len(await checkpointer.history(thread.scope, thread.id)) == 3


@CASES.add
async def a_retry_leaves_its_session_at_the_head(checkpointer: BaseCheckpointer) -> None:
    """A session that sends an older checkpoint again goes on from the latest."""
    thread = Thread(checkpointer)
    async with checkpointer.session(thread.scope, thread.id) as session:
        first = write_after(None, {"a": 1}, added=[message(0)])
        await session.append(first)
        await session.append(write_after(session.snapshot, {"a": 2}, added=[message(1)]))
        assert (await session.append(first)).head == 1
        assert session.snapshot == await thread.load()
        await session.append(write_after(session.snapshot, {"a": 3}))
    assert ((await thread.load()).head, (await thread.load()).fields) == (3, {"a": 3})


@CASES.add
async def exactly_one_racer_wins(checkpointer: BaseCheckpointer) -> None:
    """Of writers that saw the same head one commits, whole, and the others are told."""
    thread = Thread(checkpointer)
    for round_no in range(12):
        before = await checkpointer.load(thread.scope, thread.id)
        writes = [
            write_after(before, {"by": [round_no, i]}, added=[message(round_no, str(i))]) for i in range(4)
        ]
        winners = [i for i, ack in enumerate(await _at_once(thread, writes)) if isinstance(ack, Committed)]
        assert len(winners) == 1, f"{len(winners)} of 4 racers won"
        snapshot = await thread.load()
        assert snapshot.head == round_no + 1
        assert snapshot.fields == {"by": [round_no, winners[0]]}
        assert snapshot.messages[-1].content == str(winners[0])
        assert len(snapshot.messages) == round_no + 1


async def _at_once(thread: Thread, writes: list[CheckpointWrite]) -> list[Committed | BaseException]:
    # Through one session, as two processes would that both hold no lock.
    async with thread.checkpointer.session(thread.scope, thread.id) as session:
        results = await asyncio.gather(*map(session.append, writes), return_exceptions=True)
        await session.reload()
    for result in results:
        assert isinstance(result, Committed | StaleCheckpointError), repr(result)
    return results


@CASES.add
async def threads_do_not_disturb_each_other(checkpointer: BaseCheckpointer) -> None:
    """Many threads written at once each hold what was written to them."""
    scope = new_scope()

    async def fill(name: str) -> None:
        thread = Thread(checkpointer, scope, name)
        for i in range(5):
            await thread.write({"name": name, "i": i}, added=[message(i, f"{name} {i}")])

    names = [f"t{i}" for i in range(8)]
    await asyncio.gather(*map(fill, names))
    for name in names:
        snapshot = await Thread(checkpointer, scope, name).load()
        assert (snapshot.head, snapshot.fields) == (5, {"name": name, "i": 4})
        assert [row.content for row in snapshot.messages] == [f"{name} {i}" for i in range(5)]


@CASES.add
async def odd_texts_go_together(checkpointer: BaseCheckpointer) -> None:
    """Threads of two tenants written at the same moment: each holds its own attributes, whatever they are."""
    odd = ["", "\x1f", "a\x1fb\x1f", "{1,NULL}", "\\N", "é\u2028\U0001f600", '"', "plain"]
    scopes = [new_scope(), new_scope()]

    def rows(i: int, pos: int) -> list[StoredMessage]:
        """Some write nothing, some several."""
        attributes: dict[str, Any] = {
            "extra": '{"a":1}' if i % 2 else None,
            "sent_at": 0.0 if i % 3 else None,
        }
        return [
            message(pos + n, odd[i], message_id=f"{n}{odd[i]}", content_kind=n % 2, **attributes)
            for n in range(i % 3)
        ]

    async def fill(i: int, *, session: ThreadSession) -> None:
        for step in range(3):
            write = write_after(session.snapshot, {"odd": odd[i], "step": step}, added=rows(i, 10 * step))
            await session.append(replace(write, node=odd[i], run_id=f"run {odd[i]}", step=7 * step + i))

    async with AsyncExitStack() as stack:
        new = [NewThread(odd[i], odd[-i], {"i": i}) if i % 2 else None for i in range(len(odd))]
        sessions = [
            await stack.enter_async_context(
                checkpointer.session(scopes[i % 2], f"t{odd[i]}", new_thread=new[i])
            )
            for i in range(len(odd))
        ]
        await asyncio.gather(*(fill(i, session=session) for i, session in enumerate(sessions)))
    for i, text in enumerate(odd):
        thread = Thread(checkpointer, scopes[i % 2], f"t{text}")
        snapshot = await thread.load()
        assert (snapshot.head, snapshot.fields) == (3, {"odd": text, "step": 2})
        assert list(snapshot.messages) == [row for step in range(3) for row in rows(i, 10 * step)]
        newest = (await checkpointer.history(thread.scope, thread.id))[0]
        assert (newest.node, newest.run_id, newest.step) == (text, f"run {text}", 14 + i)
        info = await checkpointer.get_thread(thread.scope, thread.id)
        assert info is not None
        made_as = new[i] or NewThread()
        assert (info.user_id, info.name, info.metadata) == (made_as.user_id, made_as.name, made_as.metadata)


@CASES.add
async def data_comes_back_exactly(checkpointer: BaseCheckpointer) -> None:
    """Numbers, text and the order of keys are what they were, as fields, in patches and in old versions."""
    thread = Thread(checkpointer)
    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    fields = {**EXACT, "deep": deep}
    await thread.write({"a": 0})
    await thread.write(fields)
    await thread.write({**fields, "keys": {**EXACT["keys"], "new": 10**40}})
    now = (await thread.load()).fields
    assert repr(now) == repr({**fields, "keys": {**EXACT["keys"], "new": 10**40}})
    then = (await checkpointer.load_at(thread.scope, thread.id, 2)).fields
    assert {key: repr(value) for key, value in then.items()} == {k: repr(v) for k, v in fields.items()}


@CASES.add
async def what_is_stored_is_a_copy(checkpointer: BaseCheckpointer) -> None:
    """Changing what was written, or what was read, changes nothing in the store."""
    thread = Thread(checkpointer)
    fields: dict[str, Any] = {"list": [1], "dict": {"a": [1]}}
    kept = copy.deepcopy(fields)
    await thread.write(fields)
    fields["list"].append(2)
    fields["dict"]["a"].clear()
    loaded = await thread.load()
    assert loaded.fields == kept
    loaded.fields["dict"]["a"].append(3)
    assert (await thread.load()).fields == kept
    async with checkpointer.session(thread.scope, thread.id) as session:
        assert session.snapshot is not None
        assert session.snapshot.fields == kept
        session.snapshot.fields["list"].append(4)
    assert (await thread.load()).fields == kept
    async with checkpointer.session(thread.scope, thread.id) as session:
        await session.append(write_after(await session.reload(), copy.deepcopy(kept)))
        assert session.snapshot is not None
        session.snapshot.fields["dict"]["a"].append(5)
    async with checkpointer.session(thread.scope, thread.id) as session:
        assert session.snapshot is not None
        assert session.snapshot.fields == kept, "the run before changed what this one starts from"


@CASES.add
async def what_cannot_be_stored_leaves_the_checkpoint_before(checkpointer: BaseCheckpointer) -> None:
    """Each refusal is typed, comes before anything is stored, and the thread goes on."""
    thread = Thread(checkpointer)
    await thread.write({"a": 1})
    before = await thread.load()
    big = "x" * (1024 * 1024 + 1)
    refused: list[tuple[type[InvalidError], CheckpointWrite]] = [
        (StateEncodingError, write_after(before, {"a": float("nan")})),
        (StateEncodingError, write_after(before, {"a": float("-inf")})),
        (StateEncodingError, write_after(before, {"a": object()})),
        (StateEncodingError, write_after(before, {"a": "half \ud800"})),
        (StateEncodingError, write_after(before, {"a": 10**200000})),
        (StateEncodingError, write_after(before, added=[message(0, "half \udfff")])),
        (StateEncodingError, write_after(before, added=[message(0, "nul \0")])),
        (ThreadFullError, write_after(before, added=[message(1_000_000, "one too many")])),
        (TooLargeError, write_after(before, {"a": big})),
        (TooLargeError, write_after(before, added=[message(0, big)])),
        (InvalidIdError, write_after(before, added=[message(0, message_id="a\0b")])),
        (InvalidIdError, write_after(before, node="a\0b")),
        (InvalidIdError, write_after(before, run_id="\ud800")),
    ]
    for kind, write in refused:
        await raised(kind, thread.put(write))
    assert await thread.load() == before
    assert (await thread.write({"a": 2})).head == 2
