"""Writing checkpoints: one round trip each, shared by those that wait at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from agentflow.errors import StaleCheckpointError, StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import NoPartitionError, RowVanishedError
from agentflow.storage.checkpointer.driver_statements import Backoff, Statements
from agentflow.storage.checkpointer.driver_tenants import TenantStatements
from agentflow.storage.checkpointer.group_arguments import group_arguments, metadata_of
from agentflow.storage.checkpointer.group_commit import GroupCommit
from agentflow.storage.checkpointer.limits import EncodedWrite
from agentflow.storage.checkpointer.placements import NOWHERE
from agentflow.storage.checkpointer.postgres_rows import columns_of, no_thread, results_of
from agentflow.storage.checkpointer.queries import QUERIES, located
from agentflow.storage.checkpointer.types import CheckpointWrite, Committed, NewThread, Scope, next_pos
from agentflow.utils.spans import attached, sampled_span

if TYPE_CHECKING:
    from opentelemetry.trace import Span

# Every so many checkpoints one holds all fields: reading any version folds at most this many rows.
FULL_EVERY: Final = 32
# What a statement carries beside the state, the delta and the messages of a write.
_OVERHEAD_BYTES: Final = 256
_GROUP: Final = QUERIES["append_group"]


@dataclass(slots=True)
class QueuedWrite:
    """A write with all that its statement needs; see `group_commit.Groupable`."""

    scope: Scope
    thread_id: str
    attributes: NewThread
    write: CheckpointWrite
    encoded: EncodedWrite
    placement: int
    key: tuple[int, int, str]
    size_bytes: int
    group: Hashable
    # Of a thread to be made by a tenant on its way: where there must be none yet.
    nowhere_in: tuple[int, ...] | None
    # Below which a statement is told, when somebody looks at this write's trace.
    span: Span | None

    @property
    def owner(self) -> str | None:
        """Whom the thread must belong to, or will."""
        if self.scope.principal is not None or self.write.expected_head:
            return self.scope.principal
        return self.attributes.user_id

    @property
    def delta(self) -> str | None:
        """What the checkpoint stores; None for all fields."""
        return None if self.write.expected_head % FULL_EVERY == 0 else self.encoded.patch


class PostgresWriter:
    """Appends checkpoints."""

    def __init__(
        self,
        statements: Statements,
        of_tenants: TenantStatements,
        *,
        thread_ttl: timedelta | None,
        group_key: Callable[[Scope], Hashable] = lambda _: None,
    ) -> None:
        """Nothing is written yet.

        Args:
            statements: Of this event loop.
            of_tenants: Over the same.
            thread_ttl: Set anew by each write; None leaves a thread's time as it is.
            group_key: Only writes with the same one share a statement. Here all do; where rows are
                distributed by tenant it is the tenant.
        """
        self._group_key = group_key
        self._statements = statements
        self._of_tenants = of_tenants
        self._placements = of_tenants.placements
        self._ttl = thread_ttl
        self._commits: GroupCommit[QueuedWrite, Committed | None] = GroupCommit(
            self._send_one, self._send_group
        )

    async def append(
        self,
        scope: Scope,
        thread_id: str,
        attributes: NewThread,
        write: CheckpointWrite,
        encoded: EncodedWrite,
        placement: int | None = None,
    ) -> Committed:
        """See `ThreadSession.append`.

        Args:
            placement: Where the thread was seen last, if it is known.

        Raises:
            StaleCheckpointError, ThreadNotFoundError, and what `Statements.fetch` raises.

        One round trip, shared with writes that wait at the same moment; a second one only to tell why a write
        was refused, and a third when the thread had moved. Locks the thread's row for the length of the
        statement.
        """
        moved: Backoff | None = None
        at = self._first_place(scope, write) if placement is None else placement
        while True:
            try:
                committed = await self._submit(self._queued(scope, thread_id, attributes, write, encoded, at))
            except NoPartitionError:
                place = await self._place_instead(scope, write, at)
                if place is None:
                    raise
                at = place
                continue
            if committed is not None:
                return committed
            answer = await self._why_not(scope, thread_id, write, at)
            if isinstance(answer, Committed):
                return answer
            if answer == NOWHERE:
                moved = moved or self._statements.backoff()
                if not await moved.wait():
                    raise StoreUnavailableError("The tenant is being moved; the call may be repeated.")
                continue
            at = answer

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._commits.close()

    async def _submit(self, item: QueuedWrite) -> Committed | None:
        """Again while Postgres comes back: a write recognises its own commit."""
        backoff: Backoff | None = None
        while True:
            try:
                return await self._commits.submit(item)
            except StoreUnavailableError:
                backoff = backoff or self._statements.backoff()
                if not await backoff.wait():
                    raise

    async def _send_one(self, item: QueuedWrite) -> Committed | None:
        name, arguments = self._alone(item)
        try:
            at = item.nowhere_in or (item.placement,)
            with attached(item.span):
                rows = await self._statements.fetch_once(located(name, at), *arguments)
        except RowVanishedError:
            return None
        if not rows:
            return None
        thread_no, head, stop_requested, *_ = rows[0]
        return Committed(head, thread_no, stop_requested, item.placement)

    async def _send_group(self, items: Sequence[QueuedWrite]) -> list[Committed | None]:
        arguments = group_arguments(items, self._ttl)
        with attached(next((item.span for item in items if item.span is not None), None)):
            rows = await self._statements.fetch_once(_GROUP, *arguments, batch=len(items))
        places, numbers, stopped, _ = rows[0]
        answers: list[Committed | None] = [None] * len(items)
        asked_to_stop = set(stopped or ())
        for place, thread_no in zip(places or (), numbers or (), strict=True):
            item = items[place - 1]
            head = item.write.expected_head + 1
            answers[place - 1] = Committed(head, thread_no, place in asked_to_stop, item.placement)
        return answers

    def _alone(self, item: QueuedWrite) -> tuple[str, list[Any]]:
        write, encoded = item.write, item.encoded
        if item.nowhere_in:
            return "create_thread_moving", [*self._creation(item), list(item.nowhere_in)]
        if write.expected_head == 0:
            return "create_thread", self._creation(item)
        delta = item.delta
        arguments: list[Any] = [
            item.placement,
            item.scope.tenant_id,
            item.thread_id,
            next_pos(0, write.added),
            write.run_id,
            encoded.fields,
            write.starts_run,
            self._ttl,
            write.expected_head,
            write.thread_no,
            item.scope.principal,
            write.step,
            delta is None,
            write.checkpoint_id,
            write.source,
            write.stored_node,
            encoded.fields if delta is None else delta,
        ]
        if write.tool_results:
            changes = [*columns_of(write.added), list(write.removed), *results_of(write.tool_results)]
            return "append_tools", [*arguments, *changes]
        if write.removed:
            return "append_edits", [*arguments, *columns_of(write.added), list(write.removed)]
        if write.added:
            return "append_messages", [*arguments, *columns_of(write.added)]
        return "append", arguments

    def _creation(self, item: QueuedWrite) -> list[Any]:
        write = item.write
        return [
            item.placement,
            item.scope.tenant_id,
            item.thread_id,
            next_pos(0, write.added),
            write.run_id,
            item.encoded.fields,
            item.owner,
            item.attributes.name,
            metadata_of(item.attributes),
            self._ttl,
            write.step,
            write.checkpoint_id,
            write.source,
            write.stored_node,
            *columns_of(write.added),
        ]

    def _queued(
        self,
        scope: Scope,
        thread_id: str,
        attributes: NewThread,
        write: CheckpointWrite,
        encoded: EncodedWrite,
        at: int,
    ) -> QueuedWrite:
        is_made_on_the_way = write.expected_head == 0 and self._placements.is_moving(scope)
        nowhere_in = self._placements.look(scope) if is_made_on_the_way else None
        # Removals and tool results touch rows by their keys: such a write goes alone.
        is_alone = write.removed or write.tool_results or nowhere_in
        return QueuedWrite(
            scope,
            thread_id,
            attributes,
            write,
            encoded,
            at,
            (at, scope.tenant_id.int, thread_id),
            _OVERHEAD_BYTES + encoded.size_bytes,
            object() if is_alone else self._group_key(scope),
            nowhere_in,
            sampled_span(),
        )

    def _first_place(self, scope: Scope, write: CheckpointWrite) -> int:
        if write.expected_head == 0:
            return self._placements.creates_in(scope)
        return self._placements.look(scope)[0]

    async def _place_instead(self, scope: Scope, write: CheckpointWrite, at: int) -> int | None:
        """Another place than one whose partition was dropped, if the tenant has moved."""
        await self._placements.learn(scope)
        place = self._first_place(scope, write)
        return None if place == at else place

    async def _why_not(
        self, scope: Scope, thread_id: str, write: CheckpointWrite, at: int
    ) -> Committed | int:
        """The commit that this write already was, where to write it instead, or the reason it was refused."""
        rows = await self._of_tenants.ask(scope, "why_not", thread_id, write.expected_head, scope.principal)
        if not rows:
            return self._another_place(scope, thread_id, write, at)
        row = rows[0]
        if not row["visible"]:
            raise no_thread(thread_id)
        if row["checkpoint_id"] == write.checkpoint_id:
            # The reply to an earlier try was lost, its commit was not.
            return Committed(
                write.expected_head + 1, row["thread_no"], row["stop_requested"], row["placement"]
            )
        is_same = row["thread_no"] == write.thread_no and row["head"] == write.expected_head
        if is_same and row["placement"] != at:
            place: int = row["placement"]
            return place
        raise StaleCheckpointError(thread_id, expected=write.expected_head, found=row["head"])

    def _another_place(self, scope: Scope, thread_id: str, write: CheckpointWrite, at: int) -> int:
        """Where a thread that is nowhere is to be made."""
        if write.expected_head:
            raise StaleCheckpointError(thread_id, expected=write.expected_head, found=0)
        place = self._placements.creates_in(scope)
        # Refused although this is the place: nobody might make a thread in that moment.
        return NOWHERE if place == at or self._placements.is_nowhere(scope) else place
