"""Threads as a saver last knew them, so that a put sends what changed and reads nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.core.state.context_log import Entry as Placed
from agentflow.integrations.langgraph.entries import Spaces, spaces_of
from agentflow.integrations.langgraph.messages import Row, row_of
from agentflow.storage.checkpointer.types import Snapshot

Last = tuple[str, int]  # a checkpoint's id and version


@dataclass(frozen=True, slots=True)
class ThreadState:
    """One version of a thread. Only `lasts` may grow, by what is read at this version.

    Attributes:
        thread_no: None while the thread does not exist.
        entries: The graph's messages with their positions.
        lasts: Node -> last checkpoint, or None for a namespace known to be empty. Others are not known.
    """

    thread_no: int | None
    head: int
    next_pos: int
    spaces: Spaces
    entries: Sequence[Placed[Row]]
    lasts: dict[str, Last | None]


def absent() -> ThreadState:
    """A thread that does not exist."""
    return ThreadState(None, 0, 0, {}, (), {})


def state_of(snapshot: Snapshot | None, thread_id: str, live: Sequence[object] = ()) -> ThreadState:
    """The state of a thread as it was read.

    Args:
        snapshot: None for no thread.
        thread_id: For the errors.
        live: The messages that the rows were decoded to, if they were.

    Raises:
        InvalidInputError: The thread is not a LangGraph graph's.
    """
    if snapshot is None:
        return absent()
    spaces = spaces_of(snapshot.fields, thread_id)
    messages = live or [None] * len(snapshot.messages)
    rows = [
        (stored.pos, row_of(stored, message))  # type: ignore[arg-type]  # `live` are the rows' messages
        for stored, message in zip(snapshot.messages, messages, strict=True)
    ]
    lasts: dict[str, Last | None] = {node: (entry["id"], entry["seq"]) for node, entry in spaces.items()}
    return ThreadState(snapshot.thread_no, snapshot.head, snapshot.next_pos, spaces, rows, lasts)


class Book:
    """The states of the threads that were used last."""

    def __init__(self, size: int) -> None:
        """Empty; holds up to `size` threads."""
        self._size = size
        self._states: OrderedDict[str, ThreadState] = OrderedDict()

    def get(self, thread_id: str) -> ThreadState | None:
        """The thread as last known; it may have moved on."""
        return self._states.get(thread_id)

    def keep(self, thread_id: str, state: ThreadState) -> None:
        """Remember a state, unless a newer one of the same life is known."""
        known = self._states.get(thread_id)
        if known is not None and known.thread_no == state.thread_no and known.head > state.head:
            return
        self._states[thread_id] = state
        self._states.move_to_end(thread_id)
        while len(self._states) > self._size:
            self._states.popitem(last=False)

    def forget(self, thread_id: str) -> None:
        """Drop what is known of a thread."""
        self._states.pop(thread_id, None)

    def learn(self, thread_id: str, head: int, node: str, last: Last | None) -> None:
        """A namespace's last checkpoint, as read while the thread was at `head`."""
        state = self._states.get(thread_id)
        if state is not None and state.head == head and node not in state.lasts:
            state.lasts[node] = last
