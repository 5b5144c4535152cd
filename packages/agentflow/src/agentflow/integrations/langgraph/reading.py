"""Gets and lists: rows of the tables as LangGraph's tuples."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple

from agentflow.errors import CorruptStateError, InvalidIdError
from agentflow.integrations.langgraph.book import Book, state_of
from agentflow.integrations.langgraph.entries import (
    Entry,
    decode_checkpoint,
    decode_metadata,
    namespace_of,
    node_of,
    spaces_of,
)
from agentflow.integrations.langgraph.ids import Address, address_of, config_of, uuid_of
from agentflow.integrations.langgraph.messages import decode
from agentflow.integrations.langgraph.values import Values
from agentflow.storage.checkpointer.delta import same
from agentflow.storage.checkpointer.langgraph_store import (
    ROOT,
    LangGraphStore,
    Listing,
    Reading,
    StoredCheckpoint,
)

_PAGE: Final = 32
_SOURCES: Final = {"input": "input", "loop": "node", "update": "update", "fork": "fork"}


@dataclass(frozen=True, slots=True)
class Found:
    """An answer, and the thread as it was met."""

    thread_no: int | None
    head: int
    answer: CheckpointTuple | None


@dataclass(frozen=True, slots=True)
class Query:
    """What `list` looks for."""

    look_for: Listing
    metadata: Mapping[str, Any]
    limit: int | None


class Reader:
    """Reads one scope's threads."""

    def __init__(self, store: LangGraphStore, book: Book) -> None:
        """Nothing is read yet."""
        self._store = store
        self._book = book

    async def get(self, address: Address, values: Values) -> Found:
        """The checkpoint a config names, or the namespace's last one. One round trip.

        Raises:
            CorruptStateError: What is stored is not what was written.
            InvalidInputError: The thread belongs to no LangGraph graph.
        """
        node = node_of(address.namespace)
        wanted = _uuid_or_none(address.checkpoint_id)
        if address.checkpoint_id is not None and wanted is None:
            return Found(None, 0, None)
        reading = await self._store.read(address.thread_id, node, wanted)
        if reading.snapshot is not None:
            spaces_of(reading.snapshot.fields, address.thread_id)  # refuses other programs' threads
        if reading.found is None:
            self._book.learn(address.thread_id, reading.head, node, None)
            return Found(reading.thread_no, reading.head, None)
        answer, live = _tuple_of(reading.found, values)
        self._note(address.thread_id, node, reading, live, latest=wanted is None)
        return Found(reading.thread_no, reading.head, answer)

    def _note(self, thread_id: str, node: str, reading: Reading, live: list[Any], *, latest: bool) -> None:
        """Let the next put know what was read."""
        if reading.snapshot is not None:
            self._book.keep(thread_id, state_of(reading.snapshot, thread_id, live))
        elif latest and reading.found is not None:
            entry = _entry(reading.found)
            self._book.learn(thread_id, reading.head, node, (entry["id"], reading.found.seq))

    async def pages(self, query: Query, values: Values) -> AsyncIterator[tuple[Found, list[CheckpointTuple]]]:
        """Pages of checkpoints, newest id first. One round trip a page."""
        cursor: tuple[UUID, int] | None = None
        left = query.limit
        while left is None or left > 0:
            size = _PAGE if left is None or query.metadata else min(_PAGE, left)
            page = await self._store.page(query.look_for, cursor, size)
            answers = [_tuple_of(found, values)[0] for found in page.checkpoints]
            matching = [answer for answer in answers if _matches(answer, query.metadata)][:left]
            yield Found(page.thread_no, page.head, None), matching
            left = None if left is None else left - len(matching)
            cursor = page.cursor
            if cursor is None:
                return


def query_of(
    config: RunnableConfig | None,
    metadata: Mapping[str, Any] | None,
    before: RunnableConfig | None,
    limit: int | None,
) -> Query | None:
    """What the arguments of `list` ask for; None when nothing can match."""
    where: dict[str, Any] = dict((config or {}).get("configurable") or {})
    limits = dict((before or {}).get("configurable") or {})
    wanted, below = where.get("checkpoint_id") or None, limits.get("checkpoint_id") or None
    ids = _uuid_or_none(wanted), _uuid_or_none(below)
    if (wanted is not None and ids[0] is None) or (below is not None and ids[1] is None):
        return None
    namespace = where.get("checkpoint_ns")
    asked = dict(metadata or {})
    step, run_id = asked.get("step"), asked.get("run_id")
    look_for = Listing(
        thread_id=None if where.get("thread_id") is None else address_of({"configurable": where}).thread_id,
        node=None if namespace is None else node_of(namespace),
        checkpoint_id=ids[0],
        before=ids[1],
        source=_SOURCES.get(asked.get("source", "")) if isinstance(asked.get("source"), str) else None,
        step=step if type(step) is int and abs(step) < 2**31 else None,
        run_id=run_id if isinstance(run_id, str) and run_id and "\0" not in run_id else None,
    )
    return Query(look_for, asked, limit)


def _tuple_of(found: StoredCheckpoint, values: Values) -> tuple[CheckpointTuple, list[Any]]:
    entry = _entry(found)
    live = [decode(stored, values) for stored in found.messages]
    namespace = namespace_of(found.node) if found.node != ROOT else ""
    parent = entry.get("parent")
    answer = CheckpointTuple(
        config=config_of(found.thread_id, namespace, entry["id"]),
        checkpoint=decode_checkpoint(entry, live, values),
        metadata=decode_metadata(entry, values),
        parent_config=None if parent is None else config_of(found.thread_id, namespace, parent),
        pending_writes=[
            (task_id, channel, values.load_bytes(kind, value))
            for task_id, channel, kind, value in found.writes
        ],
    )
    return answer, live


def _entry(found: StoredCheckpoint) -> Entry:
    entry = spaces_of(found.fields, found.thread_id).get(found.node)
    if not isinstance(entry, dict) or "id" not in entry:
        raise CorruptStateError(f"The history of thread {found.thread_id!r} has a hole; none of it was used.")
    return entry


def _matches(answer: CheckpointTuple, metadata: Mapping[str, Any]) -> bool:
    has: Mapping[str, Any] = answer.metadata
    return all(key in has and same(has[key], value) for key, value in metadata.items())


def _uuid_or_none(checkpoint_id: str | None) -> UUID | None:
    try:
        return None if checkpoint_id is None else uuid_of(checkpoint_id)
    except InvalidIdError:
        return None
