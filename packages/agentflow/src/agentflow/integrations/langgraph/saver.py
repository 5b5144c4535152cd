"""A LangGraph checkpointer on the library's tables."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from agentflow.errors import InvalidInputError
from agentflow.integrations.langgraph.book import Book
from agentflow.integrations.langgraph.entries import node_of
from agentflow.integrations.langgraph.ids import address_of
from agentflow.integrations.langgraph.pruning import Choose, Pruner, latest, not_of_runs
from agentflow.integrations.langgraph.reading import Found, Reader, query_of
from agentflow.integrations.langgraph.seen import Sight, TaskWrites
from agentflow.integrations.langgraph.values import Values, refuse_pickle, strict_serde
from agentflow.integrations.langgraph.writing import Put, Writer
from agentflow.storage.checkpointer.langgraph_store import LangGraphStore, StoredWrite
from agentflow.storage.checkpointer.postgres import PgCheckpointer
from agentflow.storage.checkpointer.types import Scope
from agentflow.utils.sync import run_blocking

_THREADS_A_PAGE = 100


class AgentFlowSaver(BaseCheckpointSaver[str]):
    """Keeps a LangGraph graph's threads where AgentFlow's are, under the same guarantees.

    A checkpoint stores what its step changed. A put that was overtaken is refused with
    StaleCheckpointError; so is one that comes after its thread was deleted. Replaying from an older
    checkpoint and `update_state` on one begin a new line, as in LangGraph.

    What is stored is data: it is read with an allow-list of types, and pickle is refused.

    One instance may serve many graphs, tasks, threads and event loops at once. Redis is not used.
    """

    def __init__(
        self,
        checkpointer: PgCheckpointer,
        *,
        scope: Scope | None = None,
        allowed_types: Iterable[type | tuple[str, str]] = (),
        serde: SerializerProtocol | None = None,
        remembered_threads: int = 256,
    ) -> None:
        """Nothing is opened yet.

        Args:
            checkpointer: Whose connections and limits to use; it stays the program's to close.
            scope: Tenant and placement of the threads; outside of it none exist for this saver.
            allowed_types: Types of your own that channels hold, or (module, name) pairs. Values of any
                other type come back as the plain data they were stored as.
            serde: A serializer instead of the strict one; it says itself what it builds.
            remembered_threads: How many threads' latest states are kept in memory, so that a put need not
                read before it writes.

        Raises:
            ConfigurationError: The serializer would fall back to pickle.
        """
        super().__init__(serde=serde if serde is not None else strict_serde(allowed_types))
        refuse_pickle(self.serde)
        self._checkpointer = checkpointer
        self._scope = scope or Scope()
        self._store = LangGraphStore(checkpointer, self._scope)
        self._book = Book(remembered_threads)
        self._reader = Reader(self._store, self._book)
        self._writer = Writer(checkpointer, self._scope, self._book)
        self._pruner = Pruner(self._store)
        self._sight = Sight()

    # --- reading -------------------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the last one of its namespace; None if there is none.

        Raises:
            CorruptStateError: What is stored is not what was written; nothing of it was used.
            InvalidInputError: No thread in the config, or one that no LangGraph graph wrote.
            StoreUnavailableError: No answer from the store.

        One round trip.
        """
        return self._saw(config, await self._get(config))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `aget_tuple`; blocks."""
        return self._saw(config, run_blocking(self._get(config), instead="aget_tuple"))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest id first.

        Args:
            config: A thread, perhaps a namespace and a checkpoint of it; None is all threads of the scope.
            filter: Metadata that must be equal, key by key.
            before: Only checkpoints whose ids are below this config's.
            limit: How many at most.

        Raises:
            CorruptStateError, StoreUnavailableError: As for `aget_tuple`.

        One round trip for each 32 checkpoints.
        """
        query = query_of(config, filter, before, limit)
        if query is None:
            return
        async for found, answers in self._reader.pages(query, Values(self.serde)):
            self._saw_page(config, found, answers)
            for answer in answers:
                yield answer

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """See `alist`; blocks."""
        query = query_of(config, filter, before, limit)
        if query is None:
            return
        pages = self._reader.pages(query, Values(self.serde))
        while page := run_blocking(_next_page(pages), instead="alist"):
            self._saw_page(config, *page)
            yield from page[1]

    # --- writing -------------------------------------------------------------------------------

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Make a checkpoint durable unless its namespace has moved since this run read it.

        Returns:
            The config that names it.

        Raises:
            StaleCheckpointError: Another run wrote first, or the parent is gone. Nothing was stored.
            TooLargeError, InvalidIdError, StateEncodingError: It cannot be stored. Nothing was.
            StoreUnavailableError: No answer from the store; it may or may not be stored. Repeating is safe.

        One round trip; locks the thread's row until commit.
        """
        address = address_of(config)
        put = Put(
            thread_id=address.thread_id,
            namespace=address.namespace,
            parent=address.checkpoint_id,
            checkpoint=checkpoint,
            metadata=dict(get_checkpoint_metadata(config, metadata)),
            new_versions=new_versions,
            seen=self._sight.of(address.thread_id),
        )
        await self._writer.put(put, Values(self.serde))
        return address.config(checkpoint["id"])

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `aput`; blocks."""
        return run_blocking(self.aput(config, checkpoint, metadata, new_versions), instead="aput")

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, each channel once, before its step has ended.

        Raises:
            ThreadNotFoundError: The thread was deleted. Nothing was stored.
            InvalidInputError: The config names no checkpoint.
            StateEncodingError: A value cannot be stored as data.
            StoreUnavailableError: No answer from the store. Repeating is safe.

        One round trip; holds off a deletion of the thread until commit.
        """
        address = address_of(config)
        if address.checkpoint_id is None:
            raise InvalidInputError("Pending writes belong to a checkpoint: name it in the config.")
        results = TaskWrites(address.checkpoint_id, (task_id, task_path), self._encoded(writes))
        await self._writer.put_writes(address.thread_id, results, self._sight.of_task(address.thread_id))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """See `aput_writes`; blocks."""
        run_blocking(self.aput_writes(config, writes, task_id, task_path), instead="aput_writes")

    # --- deleting and copying ------------------------------------------------------------------

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread with everything below it; none is no error. One round trip, one more to Redis."""
        await self._checkpointer.delete_thread(self._scope, str(thread_id))
        self._book.forget(str(thread_id))

    def delete_thread(self, thread_id: str) -> None:
        """See `adelete_thread`; blocks."""
        run_blocking(self.adelete_thread(thread_id), instead="adelete_thread")

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of these runs, with their pending writes, in all threads of the scope.

        Other checkpoints stay exactly as they are. A thread without any is deleted. Each thread is one
        transaction: cancelled half-way, what was done is done, and a repetition does the rest.

        Looks through the scope's checkpoints: for housekeeping, not for a hot path.
        """
        after = ""
        while run_ids and (found := await self._store.threads_of_runs(run_ids, after, _THREADS_A_PAGE)):
            for thread_id in found:
                await self._keep(thread_id, not_of_runs(run_ids))
            after = found[-1]

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """See `adelete_for_runs`; blocks."""
        run_blocking(self.adelete_for_runs(run_ids), instead="adelete_for_runs")

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with its whole history and pending writes, in one transaction.

        Raises:
            ThreadNotFoundError: There is no such thread of a LangGraph graph.
            ConflictError: The target exists; it stays as it is.
        """
        await self._store.copy(str(source_thread_id), str(target_thread_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """See `acopy_thread`; blocks."""
        run_blocking(self.acopy_thread(source_thread_id, target_thread_id), instead="acopy_thread")

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Shorten histories; each thread is one transaction.

        Args:
            thread_ids: Of threads that need not exist.
            strategy: `keep_latest` leaves each namespace its last checkpoint, and what that one's delta
                channels are rebuilt from; `delete` deletes the threads.

        Raises:
            InvalidInputError: Another strategy.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise InvalidInputError(f"prune knows keep_latest and delete, not {strategy!r}.")
        for thread_id in thread_ids:
            if strategy == "delete":
                await self.adelete_thread(thread_id)
            else:
                await self._keep(str(thread_id), latest)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """See `aprune`; blocks."""
        run_blocking(self.aprune(thread_ids, strategy=strategy), instead="aprune")

    # --- the rest ------------------------------------------------------------------------------

    def get_next_version(self, current: str | float | None, channel: None) -> str:
        """A channel's next version: larger than `current`, and equal to none of another branch."""
        number = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{number + 1:032}.{random.randrange(10**16):016}"

    async def _get(self, config: RunnableConfig) -> Found:
        return await self._reader.get(address_of(config), Values(self.serde))

    def _saw(self, config: RunnableConfig, found: Found) -> CheckpointTuple | None:
        address, answer = address_of(config), found.answer
        if answer is not None or address.checkpoint_id is None:
            checkpoint_id = None if answer is None else answer.checkpoint["id"]
            node = node_of(address.namespace)
            self._sight.note(address.thread_id, node, checkpoint_id, found.thread_no, found.head)
        return answer

    def _saw_page(self, config: RunnableConfig | None, found: Found, page: Sequence[CheckpointTuple]) -> None:
        """A listing of a nested namespace is a reading of it too: subgraphs of a replay start from one."""
        where = (config or {}).get("configurable") or {}
        if where.get("thread_id") and where.get("checkpoint_ns"):
            thread_id, node = str(where["thread_id"]), node_of(where["checkpoint_ns"])
            for answer in page:
                self._sight.note(thread_id, node, answer.checkpoint["id"], found.thread_no, found.head)

    async def _keep(self, thread_id: str, choose: Choose) -> None:
        await self._pruner.keep(thread_id, choose)
        self._book.forget(thread_id)

    def _encoded(self, writes: Sequence[tuple[str, Any]]) -> Sequence[StoredWrite]:
        """One write an index; the special channels have their own, below 0, and the last one counts."""
        values = Values(self.serde)
        encoded: dict[int, StoredWrite] = {}
        for i, (channel, value) in enumerate(writes):
            idx = WRITES_IDX_MAP.get(channel, i)
            encoded[idx] = StoredWrite(idx, channel, *values.dump_bytes(value, field=channel))
        return [*encoded.values()]


async def _next_page(
    pages: AsyncIterator[tuple[Found, Sequence[CheckpointTuple]]],
) -> tuple[Found, Sequence[CheckpointTuple]] | None:
    return await anext(pages, None)
