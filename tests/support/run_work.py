"""Carries out runs in tests: says when one is at work, and ends it when told to."""

import asyncio
import uuid

from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import RunRecord

_WITHIN_S = 30.0


class HeldWork:
    """Each run is at work until `finish`; one that is cancelled is put back."""

    def __init__(self, repository: RunRepository, *, at_once: bool = False) -> None:
        """With `at_once` runs end as soon as they begin."""
        self._repository = repository
        self._begun: asyncio.Queue[RunRecord] = asyncio.Queue()
        self._held: dict[uuid.UUID, asyncio.Event] = {}
        self._at_once = at_once
        self.most_at_work = 0

    async def execute(self, run: RunRecord) -> None:
        """Until told to finish."""
        held = self._held[run.run_id] = asyncio.Event()
        self.most_at_work = max(self.most_at_work, len(self._held))
        self._begun.put_nowait(run)
        try:
            if not self._at_once:
                await held.wait()
            await self._repository.end(run, "success")
        except asyncio.CancelledError:
            await asyncio.shield(self._repository.put_back(run))
            raise
        finally:
            del self._held[run.run_id]

    async def stop(self) -> None:
        """Runs at work do not stop by themselves."""

    async def begun(self) -> RunRecord:
        """The next run that is at work."""
        async with asyncio.timeout(_WITHIN_S):
            return await self._begun.get()

    @property
    def is_idle(self) -> bool:
        """No run began that nobody asked for."""
        return self._begun.empty()

    def finish(self, run: RunRecord) -> None:
        """Let a run end."""
        self._held[run.run_id].set()
