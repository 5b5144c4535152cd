"""The context: order, edits, removals, every attribute, search."""
# ruff: noqa: S101

from __future__ import annotations

import math
from dataclasses import replace

from agentflow.errors import (
    InvalidIdError,
    InvalidInputError,
    StateEncodingError,
    ThreadFullError,
    ThreadNotFoundError,
    TooLargeError,
)
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.sizes import Limits
from agentflow.storage.checkpointer.testing.case import (
    Cases,
    Thread,
    contents,
    message,
    raised,
    write_after,
)
from agentflow.storage.checkpointer.types import BLOCKS, MessagePlace

CASES = Cases()


@CASES.add
async def every_attribute_comes_back(checkpointer: BaseCheckpointer) -> None:
    """A message is what was written, to the last bit."""
    thread = Thread(checkpointer)
    rows = [
        message(0, "", extra=None, sent_at=None),
        message(1, "'; DROP TABLE x; -- %s $1 \\ \n\t\u2028", role="assistant", sent_at=1732345678.123456),
        message(
            2, '[{"type":"text","text":"a\\u0000b"}]', role="tool", content_kind=BLOCKS, extra='{"k":"v"}'
        ),
        message(3, "\U0001f600 e\u0301 \xe9", role="system", extra="{}", sent_at=0.1 + 0.2),
        message(9, "after a gap", message_id="id with % _ \\ : {} '\""),
    ]
    await thread.write(added=rows[:2])
    await thread.write(added=rows[2:])
    snapshot = await thread.load()
    assert list(snapshot.messages) == rows
    assert snapshot.next_pos == 10
    assert list(await checkpointer.list_messages(thread.scope, thread.id)) == rows


@CASES.add
async def a_time_that_is_none_is_refused(checkpointer: BaseCheckpointer) -> None:
    """Nothing of the checkpoint is stored, and the thread is free at once."""
    thread = Thread(checkpointer)
    await thread.write(added=[message(0)])
    for sent_at in (math.nan, math.inf, -math.inf):
        await raised(StateEncodingError, thread.write(added=[message(1, sent_at=sent_at)]))
        async with checkpointer.session(thread.scope, thread.id, wait_s=0) as session:
            assert session.snapshot is not None
            assert session.snapshot.head == 1
    assert (await thread.write(added=[message(1)])).head == 2


@CASES.add
async def edits_and_removals_keep_the_order(checkpointer: BaseCheckpointer) -> None:
    """The context is ordered by position whatever the order of writing; positions may be used again."""
    thread = Thread(checkpointer)
    await thread.write(added=[message(i, str(i)) for i in range(5)])
    await thread.write(added=[message(2, "two")], removed=[2, 4])
    assert contents(await thread.load()) == ["0", "1", "two", "3"]
    await thread.write(removed=[0, 1])
    await thread.write(added=[message(1, "one"), message(5, "5")])
    snapshot = await thread.load()
    assert contents(snapshot) == ["one", "two", "3", "5"]
    assert snapshot.next_pos == 6
    await thread.write(removed=[1, 2, 3, 5])
    snapshot = await thread.load()
    assert (list(snapshot.messages), snapshot.next_pos) == ([], 6)
    expected = [["0", "1", "2", "3", "4"], ["0", "1", "two", "3"], ["two", "3"], ["one", "two", "3", "5"], []]
    for seq, texts in enumerate(expected, start=1):
        assert contents(await checkpointer.load_at(thread.scope, thread.id, seq)) == texts


@CASES.add
async def long_contexts_keep_their_order(checkpointer: BaseCheckpointer) -> None:
    """Hundreds of messages come back in order, through `load`, `list_messages` and a session."""
    thread = Thread(checkpointer)
    await thread.write(added=[message(i, str(i)) for i in range(1500)])
    await thread.write(added=[message(i, str(i)) for i in range(1500, 2600)])
    expected = [str(i) for i in range(2600)]
    assert contents(await thread.load()) == expected
    rows = await checkpointer.list_messages(thread.scope, thread.id, offset=1499, limit=3)
    assert [row.content for row in rows] == ["1499", "1500", "1501"]
    async with checkpointer.session(thread.scope, thread.id) as session:
        assert session.snapshot is not None
        assert contents(session.snapshot) == expected


@CASES.add
async def search_is_for_parts_not_patterns(checkpointer: BaseCheckpointer) -> None:
    """Wildcards are themselves, case does not count, removed messages are not found."""
    thread = Thread(checkpointer)
    texts = ["100% sure", "100 percent", "snake_case", "snakeXcase", "back\\slash", "SHOUT", "gone 100%"]
    await thread.write(added=[message(i, text) for i, text in enumerate(texts)])
    await thread.write(removed=[6])
    found = {
        part: [row.content for row in await checkpointer.list_messages(thread.scope, thread.id, search=part)]
        for part in ("0%", "e_c", "k\\s", "shout", "%", "_", "nothing")
    }
    assert found == {
        "0%": ["100% sure"],
        "e_c": ["snake_case"],
        "k\\s": ["back\\slash"],
        "shout": ["SHOUT"],
        "%": ["100% sure"],
        "_": ["snake_case"],
        "nothing": [],
    }


@CASES.add
async def what_is_no_page_or_no_id_is_refused(checkpointer: BaseCheckpointer) -> None:
    """By every store alike."""
    thread = Thread(checkpointer)
    await thread.write(added=[message(0)])
    for bad in (-1, 2**63, 2**70):
        await raised(InvalidInputError, checkpointer.history(thread.scope, thread.id, limit=bad))
        await raised(InvalidInputError, checkpointer.list_threads(thread.scope, offset=bad))
        await raised(InvalidInputError, checkpointer.list_threads(thread.scope, limit=bad))
        await raised(InvalidInputError, checkpointer.list_messages(thread.scope, thread.id, offset=bad))
        await raised(InvalidInputError, checkpointer.list_messages(thread.scope, thread.id, limit=bad))
    for bad_id in ("", "a\0", "\ud800", "a" * 513):
        await raised(InvalidIdError, checkpointer.load(thread.scope, bad_id))
        await raised(InvalidIdError, checkpointer.load_at(thread.scope, bad_id, 1))
        await raised(InvalidIdError, checkpointer.history(thread.scope, bad_id))
        await raised(InvalidIdError, checkpointer.get_thread(thread.scope, bad_id))
        await raised(InvalidIdError, checkpointer.list_messages(thread.scope, bad_id))
        await raised(InvalidIdError, checkpointer.delete_thread(thread.scope, bad_id))


@CASES.add
async def pages_of_messages(checkpointer: BaseCheckpointer) -> None:
    """Offset and limit cut the list, oldest first; a missing thread is an error, an empty one is not."""
    thread = Thread(checkpointer)
    await raised(ThreadNotFoundError, checkpointer.list_messages(thread.scope, thread.id))
    await thread.write({"a": 1})
    assert list(await checkpointer.list_messages(thread.scope, thread.id)) == []
    await thread.write(added=[message(i, str(i)) for i in range(7)])
    pages = [
        [row.content for row in await checkpointer.list_messages(thread.scope, thread.id, offset=o, limit=n)]
        for o, n in ((0, 3), (3, 3), (6, 3), (9, 3), (5, None))
    ]
    assert pages == [["0", "1", "2"], ["3", "4", "5"], ["6"], [], ["5", "6"]]


@CASES.add
async def long_contexts_are_read_by_pages(checkpointer: BaseCheckpointer) -> None:
    """Bounded in number and bytes, in order, all of the version that the first page was of."""
    thread = Thread(checkpointer)
    await raised(ThreadNotFoundError, checkpointer.read_messages(thread.scope, thread.id))
    await thread.write(added=[message(i, f"{i:03}" * 10, extra='{"k":1}') for i in range(40)])
    found: list[str] = []
    sizes: list[int] = []
    page = await checkpointer.read_messages(thread.scope, thread.id, limit=7, max_bytes=200)
    while not page.is_last:
        if len(sizes) == 2:
            await thread.write(added=[message(i, "new") for i in (39, 40)], removed=[20, 39])
        found += [row.content[:3] for row in page.messages]
        sizes.append(sum(row.size_bytes() - len(row.message_id) for row in page.messages))
        page = await checkpointer.read_messages(
            thread.scope, thread.id, after=page.following, limit=7, max_bytes=200
        )
    assert found == [f"{i:03}" for i in range(40)]
    assert max(sizes) <= 200
    now = await checkpointer.read_messages(thread.scope, thread.id, skip=37)
    assert [row.content for row in now.messages] == ["038" * 10, "new", "new"]
    [huge] = (await checkpointer.read_messages(thread.scope, thread.id, max_bytes=0)).messages
    assert huge.content == "000" * 10
    outline = await checkpointer.read_messages(thread.scope, thread.id, limit=1, outline=True)
    assert [(row.content, row.extra) for row in outline.messages] == [("", None)]
    for place in (MessagePlace(version=99), MessagePlace(thread_no=page.following.thread_no or 0)):
        await checkpointer.delete_thread(thread.scope, thread.id)
        await thread.write()
        await raised(ThreadNotFoundError, checkpointer.read_messages(thread.scope, thread.id, after=place))
    for limit, skip, max_bytes in ((0, 0, 1), (1, -1, 1), (1, 0, -1)):
        work = checkpointer.read_messages(
            thread.scope, thread.id, limit=limit, skip=skip, max_bytes=max_bytes
        )
        await raised(InvalidInputError, work)


@CASES.add
async def a_session_may_do_without_messages(checkpointer: BaseCheckpointer) -> None:
    """It appends behind what it did not read, and whoever comes after it sees all."""
    thread = Thread(checkpointer)
    await thread.write({"a": 1}, added=[message(i, str(i)) for i in range(5)])
    async with checkpointer.session(thread.scope, thread.id, without_messages=True) as session:
        for text in ("x", "y"):
            assert session.snapshot is not None
            assert (list(session.snapshot.messages), session.snapshot.fields) == ([], {"a": 1})
            row = message(session.snapshot.next_pos, text)
            await session.append(write_after(session.snapshot, added=[row]))
    assert contents(await thread.load()) == ["0", "1", "2", "3", "4", "x", "y"]
    async with checkpointer.session(thread.scope, thread.id) as session:
        await session.append(write_after(await session.reload(), added=[message(7, "z")]))
    assert contents(await thread.load())[-3:] == ["x", "y", "z"]


@CASES.add
async def a_scope_may_have_lower_limits(checkpointer: BaseCheckpointer) -> None:
    """They hold for what it writes; they never raise the checkpointer's own."""
    thread = Thread(checkpointer)
    narrow = Thread(checkpointer, replace(thread.scope, limits=Limits(100, 100, 3)))
    wide = Thread(checkpointer, replace(thread.scope, limits=Limits(10**15, 10**15, 10**15)))
    await thread.write(added=[message(0, "x" * 200)])
    error = await raised(TooLargeError, narrow.write(added=[message(1, "x" * 200)]))
    assert (error.limit, error.allowed) == ("message_bytes", 100)
    error = await raised(TooLargeError, narrow.write({"field": "x" * 200}))
    assert (error.limit, error.allowed) == ("state_bytes", 100)
    await narrow.write(added=[message(1), message(2)])
    full = await raised(ThreadFullError, narrow.write(added=[message(3)]))
    assert (full.limit, full.allowed, full.size) == ("thread_messages", 3, 4)
    await raised(TooLargeError, wide.write(added=[message(3, "x" * 2 * 1024 * 1024)]))
    assert contents(await thread.load())[1:] == ["hello", "hello"]
