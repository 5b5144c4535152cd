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
from agentflow.storage.checkpointer.thread_memory import ThreadMemory, key_of
from agentflow.storage.checkpointer.types import Scope, Snapshot

_MOST_VERSIONS: Final = 500
_MOST_THREADS: Final = 32


class ThreadReader:
    """Reads of one event loop."""

    def __init__(self, statements: TenantStatements, reader: PostgresReader, memory: ThreadMemory) -> None:
        """Nothing is read yet."""
        self._statements = statements
        self._reader = reader
        self._memory = memory
        self._versions = GroupRead(reader.versions, most=_MOST_VERSIONS)
        self._loads = GroupRead(self._load_group, most=_MOST_THREADS)

    async def load(self, scope: Scope, thread_id: str) -> Snapshot | None:
        """The latest version. One round trip, shared; two when the version in memory is not the latest.

        One more when there is none, for tenants that may have moved.
        """
        key = key_of(scope, thread_id)
        placements = self._statements.placements
        before = placements.view(scope)
        remembered = self._memory.get(key)
        if remembered is not None:
            version = await self._versions.ask(key, scope, thread_id)
            if version == remembered.version:
                return remembered.snapshot()
            if version is None and not await placements.learn_more(scope, before):
                return None
            before = placements.view(scope)
        snapshot = await self.load_anew(scope, thread_id)
        if snapshot is None and await placements.learn_more(scope, before):
            return await self.load_anew(scope, thread_id)
        return snapshot

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
