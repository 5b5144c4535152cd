"""Appending any number of messages to a thread, batch by batch, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from typing import Final

from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.budget import Boundary
from agentflow.core.graph.busy import Hold
from agentflow.core.graph.config import RunConfig
from agentflow.core.graph.message_batch import MessageBatch
from agentflow.core.graph.progress import Progress, progress_of
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.codec import decode_message, encode_fields, encode_message
from agentflow.core.state.message import Message
from agentflow.core.state.pending_calls import CallBook
from agentflow.errors import InvalidInputError, StaleCheckpointError
from agentflow.storage.checkpointer.base import BaseCheckpointer, ThreadSession
from agentflow.storage.checkpointer.delta import Fields, diff
from agentflow.storage.checkpointer.types import BLOCKS, CheckpointWrite, MessagePlace

# Somebody without a lease may write in between; then the batch comes behind what they wrote.
_TRIES: Final = 3


@dataclass(slots=True)
class Imported:
    """How far an import has come: all of it durable.

    Attributes:
        read: Messages that were dealt with.
        added: Those that joined the thread.
        skipped: Those whose id the thread held already.
    """

    read: int = 0
    added: int = 0
    skipped: int = 0


async def import_messages[S: AgentState](
    blueprint: Blueprint[S],
    checkpointer: BaseCheckpointer,
    config: RunConfig,
    messages: AsyncIterable[Message],
    *,
    answered_only: bool = False,
    on_batch: Callable[[Imported], None] | None = None,
) -> Imported:
    """Hold a thread and append to it what comes, each batch a checkpoint.

    Args:
        blueprint: The graph: what a new thread's state is.
        checkpointer: Where the thread is.
        config: Which.
        messages: In their order.
        answered_only: Whether a call that nothing answers in its batch is refused.
        on_batch: Told after each batch.

    Raises:
        InvalidInputError: A result answers no call, or a call has no result. Batches before stay.
        ThreadBusyError: A run held it for the whole waiting time.
        What `messages` raises, and `ThreadSession.append`. Batches before stay.
    """
    async with Hold(checkpointer, config, without_messages=True) as held:
        importing = _Import(blueprint, checkpointer, config, held.session, answered_only)
        await importing.read_thread()
        async for message in messages:
            if importing.take(message):
                await importing.write()
                if on_batch is not None:
                    on_batch(importing.done)
        await importing.write()
        if on_batch is not None:
            on_batch(importing.done)
        return importing.done


class _Import[S: AgentState]:
    def __init__(
        self,
        blueprint: Blueprint[S],
        checkpointer: BaseCheckpointer,
        config: RunConfig,
        session: ThreadSession,
        answered_only: bool,
    ) -> None:
        self.done = Imported()
        self._blueprint = blueprint
        self._checkpointer = checkpointer
        self._config = config
        self._session = session
        self._answered_only = answered_only
        self._batch = MessageBatch()
        self._calls = CallBook()
        self._known: set[bytes] = set()
        self._place: MessagePlace | None = None
        self._waiting_skips = 0

    async def read_thread(self) -> None:
        """Learn ids and waiting calls of what is there and was not read yet, page by page."""
        snapshot = self._session.snapshot
        if snapshot is None:
            return
        same_life = self._place is not None and self._place.thread_no == snapshot.thread_no
        behind = self._place.pos if self._place is not None and same_life else -1
        place = MessagePlace(snapshot.thread_no, snapshot.head, behind)
        while True:
            page = await self._checkpointer.read_messages(
                self._config.scope, self._config.thread_id, after=place, outline=True
            )
            if page.is_last:
                break
            place = page.following
            for row in page.messages:
                self._known.add(_digest(row.message_id))
                if row.content_kind == BLOCKS:
                    self._calls.read(decode_message(row))
        self._place = place

    def take(self, message: Message) -> bool:
        """One more; whether it is time to write."""
        digest = _digest(message.message_id)
        if digest in self._known:
            self._waiting_skips += 1
            return False
        self._known.add(digest)
        for call_id in self._calls.read(message):
            raise InvalidInputError(f"No tool call {call_id!r} waits for a result: none was made before it.")
        self._batch.add(message)
        return self._batch.is_full(self._calls)

    async def write(self) -> None:
        """Make the batch durable."""
        batch, skips = self._batch, self._waiting_skips
        if self._answered_only and (call_id := self._calls.waits_in(batch.ids)) is not None:
            raise InvalidInputError(
                f"The tool call {call_id!r} has no result within the messages that follow."
            )
        if batch.rows:
            await self._append(batch)
        self._batch, self._waiting_skips = MessageBatch(), 0
        self.done.added += len(batch.rows)
        self.done.skipped += skips
        self.done.read += len(batch.rows) + skips

    async def _append(self, batch: MessageBatch) -> None:
        for tries_left in reversed(range(_TRIES)):
            write = self._write_of(batch)
            try:
                committed = await self._session.append(write)
            except StaleCheckpointError:
                if not tries_left:
                    raise
                await self._session.reload()
                await self.read_thread()
                continue
            self._place = MessagePlace(committed.thread_no, committed.head, write.added[-1].pos)
            if self._config.budget is not None:
                began = write.expected_head == 0
                self._config.budget.spend(Boundary(batch.messages, 0, 0, begins_thread=began))
            return

    def _write_of(self, batch: MessageBatch) -> CheckpointWrite:
        snapshot = self._session.snapshot
        before: Fields = {} if snapshot is None else snapshot.fields
        fields = self._new_fields() if snapshot is None else _unmarked(before)
        meta = fields.get("execution_meta")
        first = self._blueprint.template.context if snapshot is None else ()
        rows = [*(encode_message(message, 0) for message in first), *batch.rows]
        for pos, row in enumerate(rows, 0 if snapshot is None else snapshot.next_pos):
            row.pos = pos
        return CheckpointWrite(
            expected_head=0 if snapshot is None else snapshot.head,
            thread_no=None if snapshot is None else snapshot.thread_no,
            source="update",
            node="",
            step=meta.get("step", 0) if isinstance(meta, dict) else 0,
            run_id=self._config.run_id,
            patch=diff(before, fields),
            fields=fields,
            added=rows,
        )

    def _new_fields(self) -> Fields:
        return encode_fields(self._blueprint.template) | Progress().as_fields()


def _unmarked(fields: Fields) -> Fields:
    """The fields of a thread, its progress, and none of the marks that last until the next checkpoint."""
    kept = {name: value for name, value in fields.items() if not name.startswith("$")}
    return kept | progress_of(fields).as_fields()


def _digest(message_id: str) -> bytes:
    """Of an id, which may be long: 16 bytes, which no two ids of a thread share."""
    return hashlib.blake2b(message_id.encode(errors="surrogatepass"), digest_size=16).digest()
