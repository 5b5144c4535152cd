"""Reading a thread's latest version: from memory when Postgres says that it is still the latest.

That question costs one row of one index, and those that wait at the same moment share a statement, so a warm
read is exact and cheap at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from agentflow.storage.checkpointer.driver_tenants import TenantStatements
from agentflow.storage.checkpointer.group_read import GroupRead, Question
from agentflow.storage.checkpointer.postgres_reader import Loaded, PostgresReader
from agentflow.storage.checkpointer.storage_spans import note_cache
from agentflow.storage.checkpointer.thread_memory import ThreadKey, ThreadMemory, key_of
from agentflow.storage.checkpointer.types import Scope, Snapshot, StoredMessage
from agentflow.utils.spans import NO_SPAN, AnySpan

_MOST_VERSIONS: Final = 500
_MOST_THREADS: Final = 32
# Contexts of more messages are not read whole for a page of them.
_MOST_MESSAGES: Final = 1000
_MOST_LARGE: Final = 10_000


class ThreadReader:
    """Reads of one event loop."""

    def __init__(self, statements: TenantStatements, reader: PostgresReader, memory: ThreadMemory) -> None:
        """Nothing is read yet."""
        self._statements = statements
        self._reader = reader
        self._memory = memory
        self._versions = GroupRead(reader.versions, most=_MOST_VERSIONS)
        # Whose context is read from the tables, page by page.
        self._large: dict[ThreadKey, None] = {}
        self._loads = GroupRead(self._load_group, most=_MOST_THREADS)

    async def load(self, scope: Scope, thread_id: str, span: AnySpan = NO_SPAN) -> Snapshot | None:
        """The latest version; the span is told whether memory had it.

        One round trip, shared; two when the version in memory is not the latest.

        One more when there is none, for tenants that may have moved.
        """
        key = key_of(scope, thread_id)
        placements = self._statements.placements
        before = placements.view(scope)
        remembered = self._memory.get(key)
        if remembered is not None:
            version = await self._versions.ask(key, scope, thread_id)
            if version == remembered.version:
                note_cache(span, "hit")
                return remembered.snapshot()
            if version is None and not await placements.learn_more(scope, before):
                return None
            before = placements.view(scope)
        note_cache(span, "miss" if remembered is None else "stale")
        snapshot = await self.load_anew(scope, thread_id)
        if snapshot is None and await placements.learn_more(scope, before):
            return await self.load_anew(scope, thread_id)
        return snapshot

    async def small_context(
        self, scope: Scope, thread_id: str, span: AnySpan = NO_SPAN
    ) -> Sequence[StoredMessage] | None:
        """The latest context of a thread that is small enough to be kept in memory.

        None for one that is not, and where there is none: then the tables are to be asked. One round trip,
        shared while the version in memory is the latest.
        """
        key = key_of(scope, thread_id)
        remembered = self._memory.get(key)
        if remembered is not None:
            if await self._versions.ask(key, scope, thread_id) == remembered.version:
                note_cache(span, "hit")
                return remembered.messages
            note_cache(span, "stale")
        elif key in self._large:
            note_cache(span, "off")
            return None
        else:
            note_cache(span, "miss")
        loaded = await self._reader.load(scope, thread_id, _MOST_MESSAGES + 1)
        if loaded is None:
            return None
        if len(loaded.snapshot.messages) > _MOST_MESSAGES:
            self._note_large(key)
            return None
        self._memory.put(key, loaded.snapshot, loaded.fields)
        return loaded.snapshot.messages

    def _note_large(self, key: ThreadKey) -> None:
        self._large[key] = None
        if len(self._large) > _MOST_LARGE:
            del self._large[next(iter(self._large))]

    async def load_anew(self, scope: Scope, thread_id: str) -> Snapshot | None:
        """The latest version, all of it from Postgres. One round trip, shared.

        None also for a thread that was moved where this process does not know to look yet.
        """
        key = key_of(scope, thread_id)
        loaded = await self._loads.ask(key, scope, thread_id)
        if loaded is None:
            return None
        self._memory.put(key, loaded.snapshot, loaded.fields)
        return loaded.own_snapshot()

    async def _load_group(self, _placement: int, questions: Sequence[Question]) -> Mapping[int, Loaded]:
        if len(questions) > 1:
            return await self._reader.load_group(questions)
        loaded = await self._reader.load(*questions[0])
        return {} if loaded is None else {0: loaded}
