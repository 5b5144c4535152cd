"""The contract every checkpointer keeps; `testing.py` has the suite that holds one to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from agentflow.storage.checkpointer.filters import (
    CopiedThread,
    ThreadChange,
    ThreadFilter,
    ThreadPlace,
    ThreadSort,
)
from agentflow.storage.checkpointer.types import (
    BEGINNING,
    CheckpointInfo,
    CheckpointWrite,
    Committed,
    MessagePage,
    MessagePlace,
    NewThread,
    Scope,
    Snapshot,
    StoredMessage,
    ThreadInfo,
    ToolCallInfo,
    ToolResult,
    ToolStart,
    ToolStarts,
)


class ThreadSession(ABC):
    """One run's hold on one thread: made by `BaseCheckpointer.session`, used in `async with`.

    Entering takes the thread's lock and reads the thread; leaving publishes what was committed
    to the caches and lets the lock go. Losing the lock, or having none because Redis is away,
    never corrupts anything: `append` compares the head.
    """

    snapshot: Snapshot | None
    """The thread as last read or written by this session; None while it does not exist."""

    from_cache: bool
    """Whether `snapshot` came from a cache and so may be older than the store."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Take the lock and read the thread.

        Raises:
            ThreadBusyError: Another run held the thread for the whole waiting time.
            StoreUnavailableError: No answer from the store.
        """

    @abstractmethod
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish to the caches and release the lock; never raises for a cache's sake."""

    @abstractmethod
    async def append(self, write: CheckpointWrite) -> Committed:
        """Make a checkpoint durable unless another writer got there first.

        Fields, messages and head commit together. Repeating a call with the same
        `checkpoint_id` returns the stored version, so retrying a lost reply is safe.

        Raises:
            StaleCheckpointError: Someone committed first; see `.found`. Nothing was stored.
            LeaseLostError: The lock was lost, so the run must stop. Nothing was stored.
            TooLargeError, InvalidIdError, StateEncodingError: It cannot be stored. Nothing was.
            StoreUnavailableError: No answer from the store; it may or may not be stored.

        One round trip to the store; locks the thread's row until commit.
        """

    def when_lost(self, call: Callable[[], None] | None) -> None:  # noqa: B027 - memory loses no lock
        """Have `call` called, in this event loop, once the lock is known to be lost; None to be told no more.

        A session whose lock cannot be lost never calls it.
        """

    @abstractmethod
    async def stop_requested(self) -> bool:
        """Whether somebody asked this thread's run to stop: for a run that writes too rarely to be told.

        One round trip.
        """

    @abstractmethod
    async def start_tools(self, starts: ToolStarts) -> Sequence[ToolStart]:
        """Write down that tools are about to run, and learn which of them need not.

        Repeating a call with the same `started_by` counts no further attempt.

        Returns:
            One for each intent, in their order.

        Raises:
            StaleCheckpointError: The thread is not at `expected_head`, or of another life. No tool may run.
            LeaseLostError: The lock was lost. No tool may run.
            StoreUnavailableError: No answer from the store; it may or may not be written down.

        One round trip for all of them.
        """

    @abstractmethod
    async def finish_tools(self, thread_no: int, results: Sequence[ToolResult]) -> None:
        """Keep what tools answered before their checkpoint is due, since others of their step still run.

        The first result of a key stays. Nothing is kept where the thread, or this life of it, is gone.

        Raises:
            TooLargeError: A result is over the limit of a message.
            StoreUnavailableError: No answer from the store; it may or may not be kept.

        One round trip.
        """

    @abstractmethod
    async def reload(self) -> Snapshot | None:
        """Read the thread from the store itself, past every cache. One round trip."""


class BaseCheckpointer(ABC):
    """A durable home for threads."""

    @abstractmethod
    async def asetup(self) -> None:
        """Make ready: create what is missing. Idempotent, safe in many processes at once.

        Called by the first use; call it yourself to fail early.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Give back every connection. Idempotent; later use opens again."""

    @abstractmethod
    def session(
        self,
        scope: Scope,
        thread_id: str,
        *,
        new_thread: NewThread | None = None,
        wait_s: float | None = None,
        without_messages: bool = False,
    ) -> ThreadSession:
        """A run's hold on a thread, to be entered with `async with`.

        Args:
            scope: Rows outside it do not exist for this call.
            thread_id: Opaque; compared byte by byte.
            new_thread: Attributes if the thread is made by this session.
            wait_s: How long to wait while another run holds it; None is the checkpointer's default.
            without_messages: Read the thread past the caches and without its context, however long that is;
                `snapshot.messages` stays empty.

        Raises:
            InvalidIdError: The id cannot be stored.
        """

    @abstractmethod
    async def load(
        self, scope: Scope, thread_id: str, *, last_messages: int | None = None
    ) -> Snapshot | None:
        """The thread's latest version, or None; with only its last messages when a number is given.

        Holds everything that was committed before the call.
        """

    @abstractmethod
    async def load_at(self, scope: Scope, thread_id: str, seq: int) -> Snapshot:
        """The thread exactly as it was at version `seq`.

        Raises:
            ThreadNotFoundError, CheckpointNotFoundError.
        """

    @abstractmethod
    async def history(
        self, scope: Scope, thread_id: str, *, before: int | None = None, limit: int = 100
    ) -> Sequence[CheckpointInfo]:
        """Checkpoints, newest first, with `seq < before` when that is given. [] if no thread."""

    @abstractmethod
    async def tool_calls(self, scope: Scope, thread_id: str) -> Sequence[ToolCallInfo]:
        """The thread's tool ledger, in the order of versions. [] if no thread."""

    @abstractmethod
    async def get_thread(self, scope: Scope, thread_id: str) -> ThreadInfo | None:
        """The thread's attributes, or None."""

    @abstractmethod
    async def list_threads(
        self,
        scope: Scope,
        *,
        search: str | None = None,
        offset: int = 0,
        limit: int = 100,
        id_prefix: str = "",
    ) -> Sequence[ThreadInfo]:
        """Threads, last changed first.

        Args:
            scope: Rows outside it do not exist for this call.
            search: A case-insensitive part of the id or name; no pattern.
            offset: How many to leave out.
            limit: How many to give at most.
            id_prefix: What every id of the scope begins with, and no search should find.
        """

    @abstractmethod
    async def search_threads(
        self,
        scope: Scope,
        wanted: ThreadFilter,
        *,
        sort: ThreadSort = "-updated_at",
        after: ThreadPlace | None = None,
        limit: int = 100,
    ) -> Sequence[ThreadInfo]:
        """Threads that meet every condition, in an order, behind a place in it.

        Ids break ties, bytewise. The place of the last one, by `filters.sort_key`, is where the next page
        begins; a thread that changes in between may be on both pages or on none, but for orders that do
        not change with it.

        Raises:
            InvalidError: See `filters.check_search`.
        """

    @abstractmethod
    async def count_threads(self, scope: Scope, wanted: ThreadFilter) -> int:
        """How many threads meet every condition."""

    @abstractmethod
    async def delete_threads(self, scope: Scope, wanted: ThreadFilter, *, limit: int = 100) -> Sequence[str]:
        """Delete threads that meet every condition, with everything below them, at most `limit`.

        One that stops meeting them before it is its turn stays.

        Returns:
            Their ids, in their order. When there are as many as the limit, there may be more.

        Raises:
            InvalidInputError: There is no condition at all.
        """

    @abstractmethod
    async def update_thread(self, scope: Scope, thread_id: str, change: ThreadChange) -> ThreadInfo:
        """Change a thread's name or metadata; neither its version nor `updated_at` changes with it.

        Raises:
            ThreadNotFoundError: No such thread in this scope.
            TooLargeError, InvalidError: It cannot be stored. Nothing was changed.
        """

    @abstractmethod
    async def copy_thread(self, scope: Scope, thread_id: str, to_thread: str) -> CopiedThread:
        """Copy a thread with its attributes and its whole history, exactly, in one transaction.

        Of the tool ledger the copy gets what is finished: what its own runs call is another call.

        Raises:
            ThreadNotFoundError: No such thread in this scope.
            ConflictError: There is a thread `to_thread`, whosever it is. Nothing was changed.
            StoreUnavailableError: No answer from the store; the copy may or may not be there.
        """

    @abstractmethod
    async def list_messages(
        self,
        scope: Scope,
        thread_id: str,
        *,
        search: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> Sequence[StoredMessage]:
        """The context's messages, oldest first. `search` is a case-insensitive part of the content.

        Raises:
            ThreadNotFoundError: No such thread in this scope.
        """

    @abstractmethod
    async def read_messages(
        self,
        scope: Scope,
        thread_id: str,
        *,
        after: MessagePlace = BEGINNING,
        skip: int = 0,
        limit: int = 500,
        max_bytes: int = 1024 * 1024,
        outline: bool = False,
    ) -> MessagePage:
        """A page of a context, oldest first: for contexts that nobody wants in memory at once.

        All pages that follow one another are of the version that the first was of, whatever is written
        meanwhile.

        Args:
            scope: Rows outside it do not exist for this call.
            thread_id: Which thread.
            after: `following` of the page before; or a version, to begin with.
            skip: How many messages behind that place to leave out.
            limit: How many to give at most, 1 or more.
            max_bytes: How much they hold, together; the first one comes however large it is.
            outline: Leave out what no tool call can be in: plain texts, and attributes.

        Raises:
            ThreadNotFoundError: No such thread in this scope, or no longer this life or version of it.
        """

    @abstractmethod
    async def delete_thread(self, scope: Scope, thread_id: str) -> bool:
        """Delete the thread with everything below it; False if there was none."""

    @abstractmethod
    async def request_stop(self, scope: Scope, thread_id: str) -> bool:
        """Ask the thread's run to stop at its next node boundary; False if there is no such thread."""

    @abstractmethod
    async def prune_thread(self, scope: Scope, thread_id: str, *, keep_last: int) -> int:
        """Forget all but a thread's last checkpoints, and the messages that only those showed.

        Of the tool ledger it forgets what finished before them, in turns that are done. The state and the
        versions that are left stay exactly as they were; versions keep their numbers.

        Args:
            scope: Rows outside it do not exist for this call.
            thread_id: Which thread.
            keep_last: How many checkpoints to keep, at least 1: the latest.

        Returns:
            How many checkpoints were forgotten.

        Raises:
            ThreadNotFoundError: No such thread in this scope.
            InvalidInputError: `keep_last` is below 1, or the thread is a LangGraph graph's.
            CorruptStateError: What is to be kept builds on what somebody deleted. Nothing was changed.
        """

    @abstractmethod
    async def prune(
        self, *, keep_last: int, idle_for: timedelta = timedelta(minutes=10), batch_size: int = 100
    ) -> int:
        """Prune every thread of all tenants that was left alone for `idle_for`; for a background job.

        Returns:
            How many threads had something to forget.
        """

    async def pack_idle(self, *, idle_for: timedelta = timedelta(minutes=10), batch_size: int = 100) -> int:
        """Store the checkpoints of threads that nobody writes to in less room; every version stays readable.

        For a background job. A store that has no use for it does nothing.

        Args:
            idle_for: How long a thread must have been left alone.
            batch_size: How many threads are looked for at a time.

        Returns:
            How many threads were packed.
        """
        return 0

    @abstractmethod
    async def delete_expired(self, *, batch_size: int = 1000, older_than: timedelta | None = None) -> int:
        """Delete threads past their `expires_at`, or unchanged for `older_than`, over all tenants.

        A thread that lives stays: one that waits for an answer, and one whose last checkpoint says that it
        runs and is younger than a day (a killed process leaves that behind).

        For a background job: works in batches of `batch_size` threads, each its own transaction.

        Returns:
            How many threads were deleted.
        """
