"""Every error the library raises, split by what the caller can do about it.

Facts are attributes; the message says what to do. `code` is the prefix-classed name that the
service puts on the wire, so it is part of the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class AgentFlowError(Exception):
    """Root of the library's errors.

    Attributes:
        is_for_logs: Whether the text is for who runs the service: it quotes no message, id or secret.
    """

    code = "AGENTFLOW_ERROR"
    is_for_logs: ClassVar[bool] = False


# --- the caller must change what it sent -------------------------------------------------------


class InvalidError(AgentFlowError):
    """The request cannot succeed as it is; change it."""

    code = "INVALID"


class GraphDefinitionError(InvalidError):
    """The graph is wired wrongly: unknown node, no entry point, a dead end."""

    code = "GRAPH_DEFINITION"
    is_for_logs = True


class InvalidInputError(InvalidError):
    """The input or config of a run is not usable."""

    code = "INVALID_INPUT"


class EmptyInputError(InvalidInputError):
    """A run was started with no message and nothing to resume."""

    code = "EMPTY_INPUT"


class ContextTooLargeError(InvalidInputError):
    """Trimming would leave nothing that a model could answer.

    Attributes:
        tokens: Of what had to stay; None when tokens were not limited.
        messages: How many they are.
        max_tokens: The limits, as they were given.
        max_messages: Likewise.
    """

    code = "CONTEXT_TOO_LARGE"

    def __init__(
        self,
        what: str,
        *,
        tokens: int | None,
        messages: int,
        max_tokens: int | None,
        max_messages: int | None,
    ) -> None:
        found = f"{messages} messages" if tokens is None else f"{messages} messages of {tokens} tokens"
        allowed = [f"{max_tokens} tokens"] if max_tokens is not None else []
        allowed += [f"{max_messages} messages"] if max_messages is not None else []
        super().__init__(
            f"{what} {found}, over the limit of {' and '.join(allowed)}. "
            "Raise it, keep tools' results shorter, or let cut_text keep a part."
        )
        self.tokens = tokens
        self.messages = messages
        self.max_tokens = max_tokens
        self.max_messages = max_messages


class AmbiguousResumeError(InvalidInputError):
    """One value was given to resume with, and several interrupts wait.

    Attributes:
        pending: Their ids.
    """

    code = "INTERRUPT_AMBIGUOUS"

    def __init__(self, pending: Sequence[tuple[str, str]]) -> None:
        known = ", ".join(f"{one} ({node})" for one, node in pending)
        super().__init__(
            "Several interrupts wait: say which the answer is for, with 'resume_id' or with "
            f"'resume': {{id: value, ...}}. They are {known}."
        )
        self.pending = [one for one, _ in pending]


class InvalidIdError(InvalidInputError):
    """An id is empty, too long, or holds a character that cannot be stored."""

    code = "INVALID_ID"


class ConfigurationError(InvalidError):
    """A setting such as a URL is missing or malformed."""

    code = "CONFIGURATION"
    is_for_logs = True


class SyncInAsyncError(InvalidError, RuntimeError):
    """A blocking method was called from inside a running event loop."""

    code = "SYNC_IN_ASYNC"


class StateEncodingError(InvalidError):
    """A state field or message holds something that cannot be stored as data.

    The checkpoint before stays the thread's head.
    """

    code = "SERIALIZATION_ENCODE"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class TooLargeError(InvalidError):
    """A message, state or checkpoint is over its limit; nothing of it was stored.

    Attributes:
        limit: Which: `message_bytes`, `state_bytes`, `metadata_bytes`, or `thread_messages`.
        size: What was to be stored, in bytes; of `thread_messages` how many there would be.
        allowed: How much may be.
    """

    code = "TOO_LARGE"

    def __init__(self, what: str, *, limit: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{what} is {size_bytes} bytes, over the limit of {limit_bytes}. "
            "Trim it or keep the bulk elsewhere and store a reference."
        )
        self.limit = limit
        self.size = size_bytes
        self.allowed = limit_bytes


class ThreadFullError(TooLargeError):
    """A thread has had as many messages as it may; nothing of the step was stored."""

    code = "THREAD_FULL"

    def __init__(self, *, limit: int, messages: int) -> None:
        InvalidError.__init__(
            self,
            f"The thread has had {limit} messages, its limit. Go on in a new one, from a summary of this.",
        )
        self.limit = "thread_messages"
        self.size = messages
        self.allowed = limit


# --- it is not there (also when it belongs to somebody else) ------------------------------------


class NotFoundError(AgentFlowError):
    """Nothing by that id within this scope."""

    code = "NOT_FOUND"


class ThreadNotFoundError(NotFoundError):
    """No such thread in this scope."""

    code = "THREAD_NOT_FOUND"


class CheckpointNotFoundError(NotFoundError):
    """The thread has no such checkpoint."""

    code = "CHECKPOINT_NOT_FOUND"


class TenantGoneError(AgentFlowError):
    """The tenant was offboarded: nothing of it is there, and nothing more is stored for it."""

    code = "TENANT_GONE"


# --- somebody else was first --------------------------------------------------------------------


class ConflictError(AgentFlowError):
    """Another writer got there first; reload and decide again."""

    code = "CONFLICT"


class StaleCheckpointError(ConflictError):
    """The thread's head moved since it was read; nothing was stored.

    Attributes:
        expected: Head the writer had read; 0 for a thread it believed new.
        found: Head in the store; 0 when the thread is gone; None when not known.
    """

    code = "STALE_CHECKPOINT"

    def __init__(self, thread_id: str, *, expected: int, found: int | None) -> None:
        seen = "an unknown version" if found is None else f"version {found}"
        super().__init__(
            f"Thread {thread_id!r} is at {seen}, not at {expected}: another run wrote first. "
            "Reload the thread and run again."
        )
        self.thread_id = thread_id
        self.expected = expected
        self.found = found


class ThreadBusyError(ConflictError):
    """Another run holds the thread and did not finish within the waiting time."""

    code = "THREAD_BUSY"


class RunOvertakenError(ConflictError):
    """Another run went on with the thread before this one had ended; what this one did is in its history."""

    code = "STORAGE_RUN_OVERTAKEN"


class LeaseLostError(ConflictError):
    """This run no longer holds its thread's lock, so it stopped before writing more."""

    code = "LEASE_LOST"


class ResumeConflictError(ConflictError):
    """An answer was for an interrupt that does not wait for one; nothing was stored, nothing ran.

    Attributes:
        interrupt_ids: Those that do not wait.
        pending: Ids of those that do.
    """

    code = "INTERRUPT_NOT_PENDING"
    _why = "does not wait for an answer: it was answered long ago, left behind by a new turn, or never asked"

    def __init__(self, interrupt_ids: Sequence[str], *, pending: Sequence[str]) -> None:
        waiting = f"Waiting now: {', '.join(pending)}." if pending else "Nothing waits for an answer now."
        super().__init__(f"The interrupt {self._why}. No part of this resume was used. {waiting}")
        self.interrupt_ids = list(interrupt_ids)
        self.pending = list(pending)


class InterruptAnsweredError(ResumeConflictError):
    """Somebody answered the interrupt before; that answer counts."""

    code = "INTERRUPT_ALREADY_ANSWERED"
    _why = "was answered before, and that answer counts"


class NothingToResumeError(ResumeConflictError):
    """A value was given to resume with, and nothing waits for one.

    Attributes:
        unfinished: The thread's latest run has not ended: somebody runs it now, or nobody does any more.
    """

    code = "NOTHING_TO_RESUME"

    def __init__(self, *, unfinished: bool) -> None:
        ConflictError.__init__(
            self,
            "There is nothing to resume: the thread's run took its answers and is not finished. "
            "If nobody runs it any more, go on without a value."
            if unfinished
            else "There is nothing to resume: the thread waits for no answer (it may have had it already).",
        )
        self.interrupt_ids = []
        self.pending = []
        self.unfinished = unfinished


# --- the run itself failed ----------------------------------------------------------------------


class ExecutionError(AgentFlowError):
    """A run ended with an error; what it had committed stays."""

    code = "GRAPH_EXECUTION"


class GraphRecursionError(ExecutionError):
    """The run took more steps than `recursion_limit`."""

    code = "GRAPH_RECURSION_LIMIT"


class TokenBudgetExceededError(ExecutionError):
    """The run used up its `token_budget`; its state is saved at the last node boundary."""

    code = "TOKEN_BUDGET_EXCEEDED"


class NodeError(ExecutionError):
    """A node raised; the original is `__cause__`.

    Attributes:
        node: Name of the node.
    """

    code = "NODE_EXECUTION"

    def __init__(self, message: str, *, node: str) -> None:
        super().__init__(message)
        self.node = node


class NodeTimeoutError(NodeError):
    """A node ran longer than `node_timeout`."""

    code = "NODE_TIMEOUT"


class NodeResultError(NodeError):
    """A node returned something that is not a message, update, Command or None."""

    code = "NODE_RESULT"


class NodeEncodingError(NodeError, StateEncodingError):
    """A node returned, or asked, what cannot be stored as data; the checkpoint before stays.

    Attributes:
        field: The state's field that holds it.
    """

    code = "NODE_ENCODING"

    def __init__(self, error: StateEncodingError | InvalidIdError, *, node: str) -> None:
        """Blame a node for what cannot be stored."""
        super().__init__(f"Node {node!r}: {error}", node=node)
        self.field = getattr(error, "field", None) or "context"


# --- the store ----------------------------------------------------------------------------------


class StorageError(AgentFlowError):
    """The store could not do its work."""

    code = "STORAGE_ERROR"
    is_for_logs = True


class StoreUnavailableError(StorageError):
    """No answer from Postgres; the call may be retried."""

    code = "TRANSIENT_STORAGE_UNAVAILABLE"


class CorruptStateError(StorageError):
    """Stored bytes do not decode to what was written; nothing of them was used."""

    code = "SERIALIZATION_DECODE"
    is_for_logs = False  # it names the thread


class SchemaVersionError(StorageError):
    """The database's schema is newer than this library, or cannot be brought up to date."""

    code = "SCHEMA_VERSION"
