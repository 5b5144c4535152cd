"""The tool ledger: intents before results, attempts counted, finished once, gone with the thread."""
# ruff: noqa: S101

from __future__ import annotations

import uuid
from dataclasses import replace

from agentflow.errors import NotFoundError, StaleCheckpointError, TooLargeError
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
from agentflow.storage.checkpointer.types import (
    Snapshot,
    ToolIntent,
    ToolResult,
    ToolStart,
    ToolStarts,
)

CASES = Cases()


def _intents(count: int) -> list[ToolIntent]:
    return [ToolIntent(uuid.uuid4(), f"call {i}", f"tool {i}", "TOOL") for i in range(count)]


def _starts(at: Snapshot, intents: list[ToolIntent]) -> ToolStarts:
    return ToolStarts(at.head, at.thread_no, "run", intents)


async def _start(thread: Thread, starts: ToolStarts) -> list[ToolStart]:
    async with thread.checkpointer.session(thread.scope, thread.id) as session:
        return list(await session.start_tools(starts))


async def _finish(thread: Thread, thread_no: int, *results: ToolResult) -> None:
    async with thread.checkpointer.session(thread.scope, thread.id) as session:
        await session.finish_tools(thread_no, results)


async def _begun(thread: Thread, count: int) -> tuple[Snapshot, list[ToolIntent]]:
    """A thread at version 1 with tools that were started."""
    await thread.write({"a": 1}, added=[message(0, "ask")])
    at, intents = await thread.load(), _intents(count)
    await _start(thread, _starts(at, intents))
    return at, intents


async def _results(thread: Thread) -> list[str | None]:
    return [tool.result for tool in await thread.checkpointer.tool_calls(thread.scope, thread.id)]


@CASES.add
async def tools_are_written_down_before_they_run(checkpointer: BaseCheckpointer) -> None:
    """The ledger tells what was started, by whom and at which version; it makes no version."""
    thread = Thread(checkpointer)
    assert list(await checkpointer.tool_calls(thread.scope, thread.id)) == []
    await thread.write({"a": 1})
    at, intents = await thread.load(), _intents(3)
    starts = await _start(thread, _starts(at, intents))
    assert starts == [ToolStart(intent.key, 1, None) for intent in intents]
    entries = await checkpointer.tool_calls(thread.scope, thread.id)
    assert [(e.key, e.call_id, e.name, e.node) for e in entries] == [
        (i.key, i.call_id, i.name, i.node) for i in intents
    ]
    assert {(e.run_id, e.seq, e.attempt, e.finished_at, e.result) for e in entries} == {
        ("run", 1, 1, None, None)
    }
    assert all(e.started_at.tzinfo is not None for e in entries)
    assert (await thread.load()).head == 1


@CASES.add
async def starts_that_did_not_finish_are_counted(checkpointer: BaseCheckpointer) -> None:
    """Each is an attempt more; one that is sent again after a lost reply is not."""
    thread = Thread(checkpointer)
    at, intents = await _begun(thread, 1)
    again = _starts(at, intents)
    attempts = [(await _start(thread, starts))[0].attempt for starts in (again, again, _starts(at, intents))]
    assert attempts == [2, 2, 3]


@CASES.add
async def a_finished_tool_tells_its_result(checkpointer: BaseCheckpointer) -> None:
    """Whether it was finished by itself or with a checkpoint, and no attempt is counted any more."""
    thread = Thread(checkpointer)
    at, (alone, together, running) = await _begun(thread, 3)
    await _finish(thread, at.thread_no, ToolResult(alone.key, '{"output":"a\\u0000"}'))
    ended = [ToolResult(together.key, '{"output":2}')]
    await thread.write({"a": 2}, added=[message(1, "answer")], tool_results=ended)
    now = await thread.load()
    starts = await _start(thread, _starts(now, [alone, together, running]))
    assert [(start.attempt, start.result) for start in starts] == [
        (1, '{"output":"a\\u0000"}'),
        (1, '{"output":2}'),
        (2, None),
    ]
    entries = await checkpointer.tool_calls(thread.scope, thread.id)
    assert [entry.finished_at is None for entry in entries] == [False, False, True]


@CASES.add
async def a_stale_run_starts_no_tool(checkpointer: BaseCheckpointer) -> None:
    """Not at another version, in another life, or without the thread; and nothing is written down."""
    thread = Thread(checkpointer)
    await thread.write({"a": 1})
    old = await thread.load()
    await thread.write({"a": 2})
    error = await raised(StaleCheckpointError, _start(thread, _starts(old, _intents(1))))
    assert (error.expected, error.found) == (1, 2)
    await checkpointer.delete_thread(thread.scope, thread.id)
    assert (await raised(StaleCheckpointError, _start(thread, _starts(old, _intents(1))))).found == 0
    await thread.write({"a": 1})
    await raised(StaleCheckpointError, _start(thread, _starts(old, _intents(1))))
    assert await _results(thread) == []


@CASES.add
async def results_are_stored_with_their_checkpoint_or_not_at_all(checkpointer: BaseCheckpointer) -> None:
    """A refused checkpoint finishes no tool; one that is sent again finishes it once, edits and all."""
    thread = Thread(checkpointer)
    at, (tool,) = await _begun(thread, 1)
    ended = [ToolResult(tool.key, "1")]
    write = write_after(at, added=[message(0, "edited"), message(1, "new")], removed=[0], tool_results=ended)
    stale = replace(write_after(at, tool_results=ended), expected_head=7)
    await raised(StaleCheckpointError, thread.put(stale))
    assert await _results(thread) == [None]
    assert [(await thread.put(write)).head, (await thread.put(write)).head] == [2, 2]
    assert await _results(thread) == ["1"]
    assert contents(await thread.load()) == ["edited", "new"]


@CASES.add
async def the_first_result_stays(checkpointer: BaseCheckpointer) -> None:
    """Also when a tool that was believed lost ends after its second try."""
    thread = Thread(checkpointer)
    at, (tool,) = await _begun(thread, 1)
    await _finish(thread, at.thread_no, ToolResult(tool.key, "1"))
    await _finish(thread, at.thread_no, ToolResult(tool.key, "2"), ToolResult(uuid.uuid4(), "of none"))
    await thread.write({"a": 3}, tool_results=[ToolResult(tool.key, "3")])
    assert await _results(thread) == ["1"]


@CASES.add
async def a_result_over_the_limit_is_refused(checkpointer: BaseCheckpointer) -> None:
    """By itself and with a checkpoint, of which nothing is stored."""
    thread = Thread(checkpointer)
    at, (tool,) = await _begun(thread, 1)
    big = ToolResult(tool.key, '"' + "x" * (1024 * 1024) + '"')
    await raised(TooLargeError, _finish(thread, at.thread_no, big))
    await raised(TooLargeError, thread.write({"a": 2}, tool_results=[big]))
    assert await _results(thread) == [None]
    assert await thread.load() == at


@CASES.add
async def the_ledger_goes_with_its_thread(checkpointer: BaseCheckpointer) -> None:
    """A new life starts with an empty one, and results of the old life do not reach it."""
    thread = Thread(checkpointer)
    old, intents = await _begun(thread, 2)
    await checkpointer.delete_thread(thread.scope, thread.id)
    assert await _results(thread) == []
    await _finish(thread, old.thread_no, ToolResult(intents[0].key, "late"))
    new, _ = await _begun(thread, 1)
    starts = await _start(thread, _starts(new, intents))
    assert [(start.attempt, start.result) for start in starts] == [(1, None), (1, None)]


@CASES.add
async def pruning_forgets_what_nobody_asks_for(checkpointer: BaseCheckpointer) -> None:
    """Finished tools of old versions, but none that runs, and none of the turn that is not done."""
    thread = Thread(checkpointer)
    at, (done, running) = await _begun(thread, 2)
    await _finish(thread, at.thread_no, ToolResult(done.key, "old"))
    await thread.write({"$run": {"turn": 2}})
    now, (of_turn,) = await thread.load(), _intents(1)
    await _start(thread, _starts(now, [of_turn]))
    for i in range(3):
        await thread.write({"$run": {"turn": 2}, "i": i}, tool_results=[ToolResult(of_turn.key, "kept")])
    await checkpointer.prune_thread(thread.scope, thread.id, keep_last=1)
    entries = await checkpointer.tool_calls(thread.scope, thread.id)
    assert [entry.key for entry in entries] == [running.key, of_turn.key]
    await thread.write({"text": "nul \0"})
    await checkpointer.prune_thread(thread.scope, thread.id, keep_last=1)
    assert [entry.key for entry in await checkpointer.tool_calls(thread.scope, thread.id)] == [running.key]


@CASES.add
async def ledgers_are_seen_within_their_scope_only(checkpointer: BaseCheckpointer) -> None:
    """Another tenant or principal neither reads, starts nor finishes anything there."""
    scope = new_scope()
    alice = replace(scope, principal="alice")
    thread = Thread(checkpointer, alice)
    at, (tool,) = await _begun(thread, 1)
    for other in (replace(scope, principal="bob"), replace(scope, tenant_id=uuid.uuid4())):
        await _reaches_nothing(Thread(checkpointer, other), at, tool)
    assert await _results(thread) == [None]
    assert [entry.attempt for entry in await checkpointer.tool_calls(scope, thread.id)] == [1]


async def _reaches_nothing(thread: Thread, at: Snapshot, tool: ToolIntent) -> None:
    assert await _results(thread) == []
    try:
        await _start(thread, _starts(at, [tool]))
    except (StaleCheckpointError, NotFoundError):
        pass
    else:
        raise AssertionError("a tool was started in a thread that is not there")
    await _finish(thread, at.thread_no, ToolResult(tool.key, "forged"))
