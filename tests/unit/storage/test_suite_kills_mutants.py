"""The shipped suite catches what goes wrong in real stores: each broken store here fails a case."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agentflow.errors import AgentFlowError
from agentflow.storage.checkpointer import (
    CopiedThread,
    InMemoryCheckpointer,
    Limits,
    ThreadChange,
    ThreadFilter,
    ThreadInfo,
)
from agentflow.storage.checkpointer.base import ThreadSession
from agentflow.storage.checkpointer.memory import _MemorySession
from agentflow.storage.checkpointer.testing import CASES
from agentflow.storage.checkpointer.types import (
    CheckpointInfo,
    CheckpointWrite,
    Committed,
    NewThread,
    Scope,
    Snapshot,
    ToolResult,
    ToolStart,
    ToolStarts,
)


class LastWriterWins(InMemoryCheckpointer):
    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        thread = self._find(scope, thread_id)
        if thread is not None and write.expected_head:
            write = replace(write, expected_head=len(thread.checkpoints), thread_no=thread.thread_no)
        return super()._append(scope, thread_id, attributes, write)


class ForgetsCheckpointIds(InMemoryCheckpointer):
    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        import uuid

        return super()._append(scope, thread_id, attributes, replace(write, checkpoint_id=uuid.uuid4()))


class PrefixRead(InMemoryCheckpointer):
    def _find(self, scope: Scope, thread_id: str) -> Any:
        keys = [key for key in self._threads if key[2].startswith(thread_id) and key[0] == scope.tenant_id]
        return self._threads[keys[0]] if keys else None


class IgnoresTenants(InMemoryCheckpointer):
    def _find(self, scope: Scope, thread_id: str) -> Any:
        return next((thread for key, thread in self._threads.items() if key[2] == thread_id), None)


class IgnoresPrincipals(InMemoryCheckpointer):
    def _find(self, scope: Scope, thread_id: str) -> Any:
        return super()._find(replace(scope, principal=None), thread_id)


class OrphansAfterDelete(InMemoryCheckpointer):
    def __init__(self) -> None:
        super().__init__()
        self._orphans: dict[Any, list[CheckpointInfo]] = {}

    async def delete_thread(self, scope: Scope, thread_id: str) -> bool:
        self._orphans[(scope, thread_id)] = list(await self.history(scope, thread_id))
        return await super().delete_thread(scope, thread_id)

    async def history(
        self, scope: Scope, thread_id: str, *, before: int | None = None, limit: int = 100
    ) -> Sequence[CheckpointInfo]:
        found = await super().history(scope, thread_id, before=before, limit=limit)
        return [*found, *self._orphans.get((scope, thread_id), [])]


class ResurrectsByLateWrites(InMemoryCheckpointer):
    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        if self._find(scope, thread_id) is None:
            write = replace(write, expected_head=0, removed=())
        return super()._append(scope, thread_id, attributes, write)


class SameLifeAfterDelete(InMemoryCheckpointer):
    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.repeat(1)  # type: ignore[assignment]


class HistoryForgetsEdits(InMemoryCheckpointer):
    async def load_at(self, scope: Scope, thread_id: str, seq: int) -> Snapshot:
        then, now = await super().load_at(scope, thread_id, seq), await self.load(scope, thread_id)
        alive = {row.message_id for row in now.messages} if now else set()
        return replace(then, messages=[row for row in then.messages if row.message_id in alive])


class SearchesByPattern(InMemoryCheckpointer):
    async def list_messages(
        self, scope: Scope, thread_id: str, *, search: str | None = None, **page: Any
    ) -> Any:
        import fnmatch

        rows = await super().list_messages(scope, thread_id, **page)
        pattern = None if search is None else f"*{search.lower()}*".replace("%", "*").replace("_", "?")
        return [row for row in rows if pattern is None or fnmatch.fnmatch(row.content.lower(), pattern)]


class SharesItsValues(InMemoryCheckpointer):
    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, Any] = {}

    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        committed = super()._append(scope, thread_id, attributes, write)
        self._live[committed.thread_no] = (committed.head, write.fields)
        return committed

    async def load(
        self, scope: Scope, thread_id: str, *, last_messages: int | None = None
    ) -> Snapshot | None:
        found = await super().load(scope, thread_id, last_messages=last_messages)
        if found is not None and self._live[found.thread_no][0] == found.head:
            return replace(found, fields=self._live[found.thread_no][1])
        return found


class NeverLocks(InMemoryCheckpointer):
    def session(self, scope: Scope, thread_id: str, **other: Any) -> ThreadSession:
        session = super().session(scope, thread_id, **other)
        assert isinstance(session, _MemorySession)
        session._scope = scope
        session._home = self
        self._locks = type(self._locks)()
        return session


class NeverStops(InMemoryCheckpointer):
    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        return replace(super()._append(scope, thread_id, attributes, write), stop_requested=False)


class NeverClearsStops(InMemoryCheckpointer):
    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        return super()._append(scope, thread_id, attributes, replace(write, starts_run=False))


class SweepsEverything(InMemoryCheckpointer):
    async def delete_expired(self, **_: Any) -> int:
        count = len(self._threads)
        self._threads.clear()
        return count


class AcceptsAnything(InMemoryCheckpointer):
    def __init__(self) -> None:
        super().__init__(limits=Limits(max_message_bytes=10**9, max_state_bytes=10**9))


class ForgetsIntents(InMemoryCheckpointer):
    def _start_tools(self, scope: Scope, thread_id: str, starts: ToolStarts) -> Sequence[ToolStart]:
        super()._start_tools(scope, thread_id, starts)
        return [ToolStart(intent.key, 1, None) for intent in starts.intents]


class StartsStaleTools(InMemoryCheckpointer):
    def _start_tools(self, scope: Scope, thread_id: str, starts: ToolStarts) -> Sequence[ToolStart]:
        thread = self._find(scope, thread_id)
        if thread is not None:
            starts = replace(starts, expected_head=len(thread.checkpoints), thread_no=thread.thread_no)
        return super()._start_tools(scope, thread_id, starts)


class CountsLostReplies(InMemoryCheckpointer):
    def _start_tools(self, scope: Scope, thread_id: str, starts: ToolStarts) -> Sequence[ToolStart]:
        import uuid

        return super()._start_tools(scope, thread_id, replace(starts, started_by=uuid.uuid4()))


class LosesResultsOfCheckpoints(InMemoryCheckpointer):
    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        return super()._append(scope, thread_id, attributes, replace(write, tool_results=()))


class FinishesBeforeItCommits(InMemoryCheckpointer):
    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        thread = self._find(scope, thread_id)
        if thread is not None:
            thread.finish(write.tool_results)
        return super()._append(scope, thread_id, attributes, write)


class LastResultWins(InMemoryCheckpointer):
    def _finish_tools(
        self, scope: Scope, thread_id: str, thread_no: int, results: Sequence[ToolResult]
    ) -> None:
        thread = self._find(scope, thread_id)
        for ended in results:
            if thread is not None and ended.key in thread.tools:
                thread.tools[ended.key].result = None
        super()._finish_tools(scope, thread_id, thread_no, results)


class FinishesForAnybody(InMemoryCheckpointer):
    def _finish_tools(
        self, scope: Scope, thread_id: str, thread_no: int, results: Sequence[ToolResult]
    ) -> None:
        super()._finish_tools(replace(scope, principal=None), thread_id, thread_no, results)


class ForksComeFromTheHead(InMemoryCheckpointer):
    def _append(
        self, scope: Scope, thread_id: str, attributes: NewThread, write: CheckpointWrite
    ) -> Committed:
        return super()._append(scope, thread_id, attributes, replace(write, parent=None))


class MovesTheOriginal(InMemoryCheckpointer):
    async def copy_thread(self, scope: Scope, thread_id: str, to_thread: str) -> CopiedThread:
        copied = await super().copy_thread(scope, thread_id, to_thread)
        await self.delete_thread(scope, thread_id)
        return copied


class CopiesOverWhatIsThere(InMemoryCheckpointer):
    async def copy_thread(self, scope: Scope, thread_id: str, to_thread: str) -> CopiedThread:
        await self.delete_thread(scope, to_thread)
        return await super().copy_thread(scope, thread_id, to_thread)


class FindsAnybodys(InMemoryCheckpointer):
    def _meeting(self, scope: Scope, wanted: ThreadFilter) -> Any:
        return super()._meeting(replace(scope, principal=None), wanted)


class ForgetsConditions(InMemoryCheckpointer):
    def _meeting(self, scope: Scope, wanted: ThreadFilter) -> Any:
        return super()._meeting(scope, replace(wanted, text=None))


class ChangesAreVersions(InMemoryCheckpointer):
    async def update_thread(self, scope: Scope, thread_id: str, change: ThreadChange) -> ThreadInfo:
        info = await super().update_thread(scope, thread_id, change)
        return replace(info, head=info.head + 1)


MUTANTS = [
    MovesTheOriginal, CopiesOverWhatIsThere, FindsAnybodys, ForgetsConditions, ChangesAreVersions,
    LastWriterWins, ForgetsCheckpointIds, PrefixRead, IgnoresTenants, IgnoresPrincipals, OrphansAfterDelete,
    ResurrectsByLateWrites, SameLifeAfterDelete, HistoryForgetsEdits, SearchesByPattern, SharesItsValues,
    ForgetsIntents, StartsStaleTools, CountsLostReplies, LosesResultsOfCheckpoints, FinishesBeforeItCommits,
    LastResultWins, FinishesForAnybody, ForksComeFromTheHead,
    NeverLocks, NeverStops, NeverClearsStops, SweepsEverything, AcceptsAnything,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
async def test_each_broken_store_fails(mutant: type[InMemoryCheckpointer]) -> None:
    """With an assertion, or an error the case did not expect."""
    failed = []
    for case in CASES:
        try:
            await case.run(mutant())
        except (AssertionError, AgentFlowError, LookupError, TypeError):
            failed.append(case.name)
    assert failed
    assert len(failed) < len(CASES), "so broken that it proves nothing"
