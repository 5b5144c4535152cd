"""One sweep of what is past its time: in small transactions with rests between, in the order of the key."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Final

from agentflow.errors import CorruptStateError, StoreUnavailableError, ThreadNotFoundError
from agentflow.storage.checkpointer import BaseCheckpointer, Scope
from agentflow_hosting.retention import BEFORE_ALL, DuePage, Swept, ThreadKey
from agentflow_hosting.retention_repository import RetentionRepository
from agentflow_telemetry import SweepMetrics

_PAGE: Final = 1000
_LONG_PAGE: Final = 200
# A transaction aims at this much work of the server; with its rests it takes six times as long. Neighbours
# notice how long it is: as long as it is open, old versions of rows that they write are kept.
_AIM_S: Final = 0.010
_FIRST_BATCH: Final = 20
_SMALLEST_BATCH: Final = 5
_LARGEST_BATCH: Final = 200


class RetentionSweep:
    """Deletes threads past their time, and versions that tenants do not keep.

    Any number of processes may sweep at once: each thread is deleted by one of them. One that is killed has
    done its batches whole, and the next sweep does the rest.
    """

    def __init__(
        self,
        repository: RetentionRepository,
        *,
        rest_share: float = 4.8,
        metrics: SweepMetrics | None = None,
    ) -> None:
        """Nothing is deleted yet.

        Args:
            repository: Of the login that owns the tables.
            rest_share: Rests within batches and between them, as a multiple of the server's work.
            metrics: Told what went; a set of its own when None.
        """
        self._repository = repository
        self._rest_share = rest_share
        self._metrics = metrics or SweepMetrics()
        self._batch = _FIRST_BATCH

    async def delete(self) -> Swept:
        """Go through all threads once, and delete those that are due and do not live.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        began = time.monotonic()
        swept = Swept()
        for placement in await self._repository.placements():
            async for page in self._pages(placement):
                swept += await self._delete(placement, page.due)
        self._metrics.finished(time.monotonic() - began)
        return swept

    async def forget(self, checkpointer: BaseCheckpointer, idle_for: timedelta) -> int:
        """Forget the versions that tenants do not keep; of how many threads.

        Args:
            checkpointer: Of the same database.
            idle_for: Threads that were changed since are left for later.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        forgotten = 0
        for placement in await self._repository.placements():
            after: ThreadKey | None = BEFORE_ALL
            while after is not None:
                page = await self._repository.long(placement, after, _LONG_PAGE, idle_for)
                for thread in page.threads:
                    scope = Scope(thread.key.tenant_id, placement)
                    forgotten += await _pruned(checkpointer, scope, thread.key.thread_id, thread.keep_last)
                after = page.last
        self._metrics.pruned(forgotten)
        return forgotten

    async def _pages(self, placement: int) -> AsyncGenerator[DuePage]:
        after: ThreadKey | None = BEFORE_ALL
        while after is not None:
            page = await self._repository.due(placement, after, _PAGE)
            yield page
            after = page.last

    async def _delete(self, placement: int, due: Sequence[ThreadKey]) -> Swept:
        swept, at = Swept(), 0
        while at < len(due):
            # What is left in equal parts: a small last one costs nearly as many round trips as a whole batch.
            left = len(due) - at
            batch = due[at : at + math.ceil(left / math.ceil(left / self._batch))]
            at += len(batch)
            try:
                gone = await self._repository.delete(placement, batch, self._rest_share)
            except StoreUnavailableError:
                # If it took too long, the next sweep comes by with less of it at a time.
                self._batch = max(_SMALLEST_BATCH, len(batch) // 2)
                raise
            self._metrics.deleted(
                threads=gone.threads, versions=gone.versions, kept=len(batch) - gone.threads
            )
            swept += gone
            if 2 * len(batch) >= self._batch:
                self._batch = _next_size(len(batch), gone.took_s)
            await asyncio.sleep(gone.rest_s)
        return swept


async def _pruned(checkpointer: BaseCheckpointer, scope: Scope, thread_id: str, keep_last: int) -> bool:
    """Whether a thread lost versions. One that cannot be read is left for somebody to look at."""
    try:
        return await checkpointer.prune_thread(scope, thread_id, keep_last=keep_last) > 0
    except (ThreadNotFoundError, CorruptStateError):
        return False


def _next_size(size: int, took_s: float) -> int:
    """The size that would have taken as long as a batch should, half or double at most."""
    wanted = size * min(2.0, max(0.5, _AIM_S / max(took_s, 0.001)))
    return max(_SMALLEST_BATCH, min(_LARGEST_BATCH, round(wanted)))
