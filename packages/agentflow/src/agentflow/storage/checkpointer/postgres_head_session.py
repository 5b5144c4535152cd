"""A hold on a thread whose context is too long to be read: for writers that only append to it."""

from __future__ import annotations

from dataclasses import replace

from agentflow.storage.checkpointer.postgres_session import PgThreadSession
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

    async def reload(self) -> Snapshot | None:
        """See `ThreadSession.reload`: without the messages. One round trip."""
        self._base = self._fields = None
        found = await self._backend.reader.load(self._scope, self._thread_id, 0)
        self.snapshot = None if found is None else found.own_snapshot()
        self.from_cache = self._doubtful = False
        return self.snapshot

    async def _enter(self, wait_s: float) -> None:
        if self._lease is not None and await self._lease.take(wait_s, None) is None:
            raise self._busy()
        await self.reload()
