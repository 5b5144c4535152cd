"""Deleting many threads, a batch at a time."""

from typing import Any, Final

from agentflow.storage.checkpointer import BaseCheckpointer, ThreadFilter
from agentflow_api.wiring import Wiring
from agentflow_tenancy import Principal

# So many threads at most are locked at the same time, and told to the caches.
BATCH: Final = 100
MOST_NAMED: Final = 100


async def told(
    store: BaseCheckpointer, principal: Principal, wanted: ThreadFilter, limit: int
) -> dict[str, Any]:
    """What a deletion would find, and whether that is more than it would delete at once."""
    count = await store.count_threads(principal.scope, wanted)
    first = await store.search_threads(principal.scope, wanted, sort="thread_id", limit=MOST_NAMED)
    ids = [principal.public_id(info.thread_id) for info in first]
    return {"dry_run": True, "count": count, "deleted": 0, "thread_ids": ids, "more": count > limit}


async def deleted(wiring: Wiring, principal: Principal, wanted: ThreadFilter, limit: int) -> dict[str, Any]:
    """Delete threads that meet the conditions, at most `limit`.

    Each batch is a transaction: what is deleted when something fails stays so, and the call may be repeated.
    """
    gone: list[str] = []
    try:
        while len(gone) < limit:
            size = min(BATCH, limit - len(gone))
            batch = await wiring.store.delete_threads(principal.scope, wanted, limit=size)
            gone += batch
            if len(batch) < size:
                break
    finally:
        if gone:
            await wiring.quotas.forget(principal)
    ids = [principal.public_id(thread_id) for thread_id in gone[:MOST_NAMED]]
    more = len(gone) == limit
    return {"dry_run": False, "count": len(gone), "deleted": len(gone), "thread_ids": ids, "more": more}
