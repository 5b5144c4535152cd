"""What a thread's checkpoints say of its runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentflow.errors import ThreadNotFoundError
from agentflow.storage.checkpointer import BaseCheckpointer, CheckpointInfo, Scope

# Runs are looked for in so many of a thread's latest versions.
MOST_CHECKPOINTS: Final = 5000
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run, by its checkpoints.

    Attributes:
        checkpoints: Newest first; those of the versions that were looked at.
        is_latest: No other run went on with the thread since.
    """

    run_id: str
    checkpoints: Sequence[CheckpointInfo]
    is_latest: bool

    @property
    def head(self) -> int:
        """The version that it left."""
        return self.checkpoints[0].seq

    @property
    def began_at(self) -> datetime:
        """Its first checkpoint."""
        return self.checkpoints[-1].created_at

    @property
    def seen_at(self) -> datetime:
        """Its last checkpoint."""
        return self.checkpoints[0].created_at

    @property
    def steps(self) -> int:
        """Nodes that it went through."""
        return sum(info.source == "node" for info in self.checkpoints)


async def known_runs(store: BaseCheckpointer, scope: Scope, thread_id: str) -> dict[str, KnownRun]:
    """The runs of a stored thread by their ids, newest first; not the changes that were made by hand.

    A thread that was deleted and made again has only those of its new life.

    Raises:
        ThreadNotFoundError: There is no such thread.

    Cost: a read for each thousand versions, of at most five thousand.
    """
    by_run: dict[str, list[CheckpointInfo]] = {}
    before: int | None = None
    for _ in range(MOST_CHECKPOINTS // _PAGE):
        page = await store.history(scope, thread_id, before=before, limit=_PAGE)
        for info in page:
            by_run.setdefault(info.run_id, []).append(info)
        if len(page) < _PAGE:
            break
        before = page[-1].seq
    if not by_run and await store.get_thread(scope, thread_id) is None:
        raise ThreadNotFoundError("There is no such thread.")
    return {
        run_id: KnownRun(run_id, found, is_latest=place == 0)
        for place, (run_id, found) in enumerate(by_run.items())
        # A run begins at a node, a change by hand is at none.
        if run_id and any(info.node for info in found)
    }
