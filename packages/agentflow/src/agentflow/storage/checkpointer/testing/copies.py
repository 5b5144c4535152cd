"""Copies of threads, with their whole history."""
# ruff: noqa: S101

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from agentflow.errors import ConflictError, InvalidIdError, ThreadNotFoundError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.testing.case import (
    Cases,
    Thread,
    contents,
    message,
    new_scope,
    raised,
    write_after,
)
from agentflow.storage.checkpointer.types import NewThread, ToolIntent, ToolResult, ToolStarts

CASES = Cases()


@CASES.add
async def copies_are_exact(checkpointer: BaseCheckpointer) -> None:
    """Every version of the copy is that of the original, packed or not; then each goes its own way."""
    thread = Thread(checkpointer)
    attributes = NewThread("u", "Name", {"k": [1]})
    async with checkpointer.session(thread.scope, thread.id, new_thread=attributes) as session:
        for number in range(40):
            removed = [number - 3] if number % 5 == 3 else []
            added = [message(number, f"m{number}")]
            await session.append(
                write_after(
                    session.snapshot, {"n": number}, added=added, removed=removed, run_id=f"r{number}"
                )
            )
    await thread.write({"n": 1}, source="fork", parent=7)
    history = list(await checkpointer.history(thread.scope, thread.id))
    for copy_id in ("copy", "copy of the packed"):
        copied = await checkpointer.copy_thread(thread.scope, thread.id, copy_id)
        assert copied.head == 41
        copy = Thread(checkpointer, thread.scope, copy_id)
        assert list(await checkpointer.history(thread.scope, copy_id)) == history
        for seq in range(1, 42):
            then = await checkpointer.load_at(thread.scope, thread.id, seq)
            assert (
                replace(await checkpointer.load_at(thread.scope, copy_id, seq), thread_no=then.thread_no)
                == then
            )
        loaded, original = await copy.load(), await thread.load()
        assert loaded.thread_no != original.thread_no
        assert replace(loaded, thread_no=original.thread_no) == original
        info = await checkpointer.get_thread(thread.scope, copy_id)
        old = await checkpointer.get_thread(thread.scope, thread.id)
        assert info is not None
        assert old is not None
        made: dict[str, Any] = {
            "thread_id": thread.id,
            "created_at": old.created_at,
            "updated_at": old.updated_at,
        }
        assert replace(info, **made) == old
        assert info.created_at > old.created_at
        assert (await copy.write({"own": copy_id}, added=[message(40, "own")])).head == 42
        assert (await thread.load()).head == 41
        await checkpointer.pack_idle(idle_for=timedelta(0))
    assert await checkpointer.delete_thread(thread.scope, thread.id)
    assert contents(await Thread(checkpointer, thread.scope, "copy").load())[-1] == "own"
    assert (await checkpointer.load_at(thread.scope, "copy", 5)).fields == {"n": 4}


@CASES.add
async def copies_have_what_is_finished(checkpointer: BaseCheckpointer) -> None:
    """Of the tool ledger what was answered; a tool that runs is the original's alone."""
    thread = Thread(checkpointer)
    keys = [uuid.uuid4(), uuid.uuid4()]
    await thread.write()
    async with checkpointer.session(thread.scope, thread.id) as session:
        before = await session.reload()
        assert before is not None
        intents = [ToolIntent(key, f"c{i}", "t", "n") for i, key in enumerate(keys)]
        await session.start_tools(ToolStarts(before.head, before.thread_no, "r", intents))
        await session.finish_tools(before.thread_no, [ToolResult(keys[0], '"done"')])
    ledger = {call.key: call for call in await checkpointer.tool_calls(thread.scope, thread.id)}
    await checkpointer.copy_thread(thread.scope, thread.id, "copy")
    assert list(await checkpointer.tool_calls(thread.scope, "copy")) == [ledger[keys[0]]]
    assert len(await checkpointer.tool_calls(thread.scope, thread.id)) == 2


@CASES.add
async def copies_replace_nothing(checkpointer: BaseCheckpointer) -> None:
    """A target that is there is refused, also when it is another user's; what is not one's own is missing."""
    scope, other = new_scope(), new_scope()
    mine = replace(scope, principal="u1")
    for where, thread_id, user in ((scope, "a", "u1"), (scope, "b", "u2"), (other, "c", "u1")):
        async with checkpointer.session(where, thread_id, new_thread=NewThread(user)) as session:
            await session.append(write_after(None, {"of": thread_id}))
    for who, target in ((mine, "b"), (mine, "a"), (scope, "b"), (scope, "a")):
        await raised(ConflictError, checkpointer.copy_thread(who, "a", target))
    for source in ("b", "c", "missing"):
        await raised(ThreadNotFoundError, checkpointer.copy_thread(mine, source, "new"))
    for wrong in ("", "a\0", "x" * 513):
        await raised(InvalidIdError, checkpointer.copy_thread(scope, "a", wrong))
    assert [info.thread_id for info in await checkpointer.list_threads(scope)] == ["b", "a"]
    assert (await Thread(checkpointer, scope, "b").load()).fields == {"of": "b"}
    await checkpointer.copy_thread(mine, "a", "c")
    assert (await Thread(checkpointer, mine, "c").load()).fields == {"of": "a"}
    assert (await Thread(checkpointer, other, "c").load()).fields == {"of": "c"}
