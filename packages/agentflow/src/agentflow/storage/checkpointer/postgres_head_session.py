"""A hold on a thread whose context is too long to be read: for writers that only append to it."""

from __future__ import annotations

from dataclasses import replace

from agentflow.storage.checkpointer.cache_types import Began
from agentflow.storage.checkpointer.postgres_session import PgThreadSession
from agentflow.storage.checkpointer.thread_memory import Remembered
from agentflow.storage.checkpointer.types import CheckpointWrite, Committed, Snapshot


class PgHeadSession(PgThreadSession):
    """Knows the thread's head and fields. The caches learn nothing from it, and forget what it outdated."""

    async def append(self, write: CheckpointWrite) -> Committed:
        """See `ThreadSession.append`."""
        committed = await super().append(write)
        if self.snapshot is not None:
            self.snapshot = replace(self.snapshot, messages=[])
        # Whatever is cached is older than this, and what this session knows is not all.
        self._doubtful = True
        return committed

    async def _loaded(self) -> Snapshot | None:
        """Without the messages. One round trip."""
        found = await self._backend.reader.load(self._scope, self._thread_id, 0)
        return None if found is None else found.own_snapshot()

    def _remembered(self) -> Remembered | None:
        return None

    async def _read(self, remembered: Remembered | None, began: Began | None) -> None:
        await self._reloaded("off")
