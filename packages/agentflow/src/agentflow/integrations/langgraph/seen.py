"""What a run has read of a thread: its writes are measured by it.

LangGraph hands a saver a parent's id and nothing else, so a writer that was overtaken looks like one that
goes back on purpose. The difference is what it had read, and that is known where it runs: in the context,
which LangGraph's tasks and threads inherit from the run that made them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from agentflow.storage.checkpointer.langgraph_store import ROOT, StoredWrite

_MANY: Final = 64  # threads that one context remembers, and checkpoints read of each
_MANY_THREADS: Final = 1000  # that a process remembers the last run of


@dataclass(frozen=True, slots=True)
class TaskWrites:
    """A task's results for one checkpoint."""

    checkpoint_id: str
    task: tuple[str, str]
    writes: Sequence[StoredWrite]


@dataclass(slots=True)
class Seen:
    """What one run knows of one thread.

    Attributes:
        thread_no: The life of the thread that it met or made; None before.
        heads: Node -> the thread's version when the run last read or wrote that namespace.
        reads: (node, checkpoint) -> the thread's version when that checkpoint was read; None for the
            checkpoint says that there was none.
        early: Results that came before the run's first checkpoint had made the thread.
    """

    thread_no: int | None
    heads: dict[str, int] = field(default_factory=dict)
    reads: dict[tuple[str, str | None], int] = field(default_factory=dict)
    early: list[TaskWrites] = field(default_factory=list)


class Sight:
    """What the runs of one saver have seen, each in its own context."""

    def __init__(self) -> None:
        """Nothing is seen yet."""
        self._seen: ContextVar[dict[str, Seen]] = ContextVar("agentflow_langgraph_seen")
        self._latest: OrderedDict[str, Seen] = OrderedDict()

    def of(self, thread_id: str) -> Seen | None:
        """What this run has seen of the thread."""
        return self._seen.get({}).get(thread_id)

    def of_task(self, thread_id: str) -> Seen | None:
        """What the run of a task has seen of the thread.

        LangGraph reports a task from the thread that ended it, which may be outside of the run's context:
        then it is what the last run in this process has seen.
        """
        return self.of(thread_id) or self._latest.get(thread_id)

    def note(
        self, thread_id: str, node: str, checkpoint_id: str | None, thread_no: int | None, head: int
    ) -> None:
        """The run read a checkpoint, or found none, while the thread was at `head` (0: there was no thread).

        Reading the graph's own namespace begins anew, but for what was read of it; a nested one belongs to
        the run around it.
        """
        seen = self._seen.get({})
        known = seen.get(thread_id)
        if node == ROOT or known is None:
            known = Seen(thread_no, reads=_kept(known, thread_no))
            others = {key: value for key, value in seen.items() if key != thread_id}
            recent = dict(list(others.items())[-_MANY + 1 :])
            self._seen.set({**recent, thread_id: known})
            self._latest.pop(thread_id, None)
            self._latest[thread_id] = known
            while len(self._latest) > _MANY_THREADS:
                self._latest.popitem(last=False)
        known.heads[node] = head
        known.reads[node, checkpoint_id] = head


def _kept(known: Seen | None, thread_no: int | None) -> dict[tuple[str, str | None], int]:
    """The graph's own checkpoints that were read before, of the same life of the thread."""
    if known is None or known.thread_no != thread_no:
        return {}
    reads = [(key, head) for key, head in known.reads.items() if key[0] == ROOT and key[1] is not None]
    return dict(reads[-_MANY:])
