"""What passes between the runtime and a checkpointer: plain, already encoded values."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from agentflow.storage.checkpointer.delta import Fields, Patch
from agentflow.storage.checkpointer.run_status import PendingInterrupt, ThreadStatus
from agentflow.storage.checkpointer.sizes import Limits
from agentflow.utils.jsontext import size_bytes

STANDALONE_TENANT: Final = uuid.UUID(int=0)
# Placements below this are shared by many tenants; from it on each is one tenant's own.
FIRST_OWN_PLACEMENT: Final = 1000
_TENANT_NAMES: Final = uuid.UUID("7a8f0e0c-5a1d-4e63-9c5e-2f1b6f0a9d11")

# How `StoredMessage.content` is to be read.
PLAIN_TEXT: Final = 0  # the text of a single text block, as it is: searchable with plain SQL
BLOCKS: Final = 1  # a JSON array of content blocks

_make: Final = object.__new__
_set: Final = object.__setattr__

# Values that the hot path makes by the dozen are not frozen: that would triple the cost of making one. Nobody
# changes them all the same.

Source = Literal["input", "node", "branch", "update", "fork", "rollback"]

# Checkpoints of these sources go on from an older one, whose version stands before their node: `17:MAIN`. So
# the rows of all others are as short as they were.
_FROM_OLDER: Final = ("fork", "rollback")
_LINEAGE: Final = re.compile(r"(\d+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows a call may touch; everything outside does not exist for it.

    Attributes:
        tenant_id: Owner of the rows.
        placement: Number of the list partition its rows live in.
        moving_to: The one it is being moved to, if it is; its threads are in either.
        principal: When set, only threads whose `user_id` is this one are visible.
        epoch: Changes to make every cached value of the tenant void at once.
        limits: The tenant's own sizes, where they are lower than the checkpointer's.
    """

    tenant_id: uuid.UUID = STANDALONE_TENANT
    placement: int = 0
    principal: str | None = None
    epoch: int = 0
    moving_to: int | None = None
    limits: Limits | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of_tenant(cls, name: str) -> Scope:
        """The scope of a tenant by its name: a UUID stands for itself, any other text for one made of it."""
        try:
            return cls(uuid.UUID(name))
        except ValueError:
            return cls(uuid.uuid5(_TENANT_NAMES, name))


@dataclass(slots=True)
class StoredMessage:
    """One message of a context as it is stored.

    Attributes:
        pos: Place in the context's order; unique among the messages alive at one checkpoint.
        content_kind: PLAIN_TEXT or BLOCKS.
        extra: JSON object of every other attribute that is not at its default; None when all are.
        sent_at: The message's own timestamp, exactly as given (seconds unless a client says otherwise).
    """

    pos: int
    message_id: str
    role: str
    content_kind: int
    content: str
    extra: str | None
    sent_at: float | None

    def size_bytes(self) -> int:
        """Bytes of the variable parts as UTF-8."""
        extra = size_bytes(self.extra) if self.extra else 0
        return size_bytes(self.content) + extra + size_bytes(self.message_id)


@dataclass(slots=True)
class Snapshot:
    """A thread at one version.

    Attributes:
        thread_no: Number of this life of the thread: a deleted and newly made thread has another.
        head: Version, 1 for the first checkpoint.
        next_pos: First position that no message of the thread has ever had.
        fields: Every state field but the context, as JSON data.
        messages: The context, in order.
        placement: Where it was found; None for where the scope says.
    """

    thread_no: int
    head: int
    next_pos: int
    fields: Fields
    messages: Sequence[StoredMessage]
    placement: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class MessagePlace:
    """A place in the context of one version of a thread.

    Attributes:
        thread_no: See `Snapshot`; None for the life there is.
        version: Messages that joined or left later do not matter; None for the latest.
        pos: Of the message before; -1 for the beginning.
    """

    thread_no: int | None = None
    version: int | None = None
    pos: int = -1


BEGINNING: Final = MessagePlace()


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages that follow a place.

    Attributes:
        following: Where the next page begins; it may be empty.
        is_last: Whether nothing comes behind.
    """

    messages: Sequence[StoredMessage]
    following: MessagePlace
    is_last: bool


def _new_id() -> uuid.UUID:
    # Unique, that is all it must be: no system call, and none of the constructor's five ways to say it.
    made = _make(uuid.UUID)
    _set(made, "int", random.getrandbits(128))
    _set(made, "is_safe", uuid.SafeUUID.unknown)
    return made


@dataclass(slots=True)
class ToolIntent:
    """A tool that is about to be started.

    Attributes:
        key: Names this call for good, over crashes, resumes and replicas.
        call_id: As the model gave it; may repeat.
        name: Of the tool.
        node: That runs it.
    """

    key: uuid.UUID
    call_id: str
    name: str
    node: str


@dataclass(slots=True)
class ToolStarts:
    """Tools of one node that are about to be started, all of them or none.

    Attributes:
        expected_head: Version the thread must be at: a run that was overtaken starts no tool.
        thread_no: See `Snapshot`.
        started_by: Made by the writer; a retry after a lost reply recognises its own start by it.
    """

    expected_head: int
    thread_no: int
    run_id: str
    intents: Sequence[ToolIntent]
    started_by: uuid.UUID = field(default_factory=_new_id)


@dataclass(slots=True)
class ToolStart:
    """What the ledger says of a tool that is about to be started.

    Attributes:
        attempt: 1 the first time, one more for each start that did not finish.
        result: What it answered, when it was finished already: then it must not run.
    """

    key: uuid.UUID
    attempt: int
    result: str | None


@dataclass(slots=True)
class ToolResult:
    """A tool that ended.

    Attributes:
        result: JSON text.
    """

    key: uuid.UUID
    result: str


@dataclass(slots=True)
class CheckpointWrite:
    """One step to be made durable, all of it or nothing.

    Attributes:
        checkpoint_id: Made by the writer; a retry after a lost reply recognises its own commit by it.
        patch: What changed in the fields since `expected_head`.
        fields: All fields after the change.
        added: Messages that joined the context.
        removed: Positions of messages that left it (an edited message is removed and added at the same
            position).
        starts_run: Clears a stop request that an earlier run left behind.
        parent: The version that a fork or rollback goes on from; None for the one before.
        tool_results: Tools that ended, to be finished in the ledger together with this checkpoint.
    """

    expected_head: int
    thread_no: int | None
    source: Source
    node: str
    step: int
    run_id: str
    patch: Patch
    fields: Fields
    added: Sequence[StoredMessage] = ()
    removed: Sequence[int] = ()
    starts_run: bool = False
    parent: int | None = None
    tool_results: Sequence[ToolResult] = ()
    checkpoint_id: uuid.UUID = field(default_factory=_new_id)

    @property
    def stored_node(self) -> str:
        """The node as it is stored; see `lineage`."""
        return self.node if self.parent is None else f"{self.parent}:{self.node}"


def next_pos(before: int, added: Sequence[StoredMessage]) -> int:
    """First position never used, once these messages joined."""
    for message in added:
        before = max(before, message.pos + 1)
    return before


@dataclass(slots=True)
class Committed:
    """Acknowledgement of a durable checkpoint.

    Attributes:
        head: The version it became.
        thread_no: See `Snapshot`.
        stop_requested: Somebody asked this thread's run to stop.
        placement: Where the thread is; None for where the scope says.
    """

    head: int
    thread_no: int
    stop_requested: bool
    placement: int | None = None


@dataclass(frozen=True, slots=True)
class NewThread:
    """What a thread is given when its first checkpoint makes it."""

    user_id: str | None = None
    name: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread without its contents.

    Attributes:
        status: How its latest run stands; see `RunStatus`.
        interrupts: What it waits for; None in lists, where that is not looked up.
    """

    thread_id: str
    head: int
    user_id: str | None
    name: str | None
    metadata: dict[str, Any]
    run_id: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    status: ThreadStatus = "idle"
    interrupts: Sequence[PendingInterrupt] | None = None


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """One entry of a thread's history.

    Attributes:
        seq: Version.
        parent: The one it goes on from: the one before (0 for the first), or an older one for a fork or
            rollback.
    """

    seq: int
    parent: int
    checkpoint_id: uuid.UUID
    source: Source
    node: str
    step: int
    run_id: str
    created_at: datetime


def oldest_needed_tool(fields: Fields, first_kept: int) -> int:
    """The version from which on a thread's tool ledger is needed, when checkpoints before one are pruned.

    Not behind the beginning of a turn that is not done: going on may ask for its results again.
    """
    run = fields.get("$run")
    turn = run.get("turn") if isinstance(run, dict) else None
    return min(first_kept, turn) if isinstance(turn, int) else first_kept


def lineage(seq: int, source: str, stored_node: str) -> tuple[int, str]:
    """A checkpoint's parent and node, from what is stored of it."""
    if source in _FROM_OLDER and (found := _LINEAGE.fullmatch(stored_node)):
        return int(found[1]), found[2]
    return seq - 1, stored_node


@dataclass(frozen=True, slots=True)
class ToolCallInfo:
    """One entry of a thread's tool ledger.

    Attributes:
        key: See `ToolIntent`, also for `call_id`, `name` and `node`.
        seq: Version the thread was at when the tool was first started.
        run_id: The run that first started it.
        attempt: How often it was started.
        result: JSON text of what it answered; None while it has not.
    """

    key: uuid.UUID
    call_id: str
    name: str
    node: str
    run_id: str
    seq: int
    attempt: int
    started_at: datetime
    finished_at: datetime | None
    result: str | None


def only_appends(before: Snapshot | None, write: CheckpointWrite) -> bool:
    """Whether the write's messages come behind all that are there, and none leaves."""
    if write.removed:
        return False
    last = before.messages[-1].pos if before is not None and before.messages and write.expected_head else -1
    for message in write.added:
        if message.pos <= last:
            return False
        last = message.pos
    return True


def snapshot_after(
    before: Snapshot | None, write: CheckpointWrite, committed: Committed, *, appends: bool | None = None
) -> Snapshot:
    """The thread as it is with this write; `appends` says what `only_appends` did, if it was asked."""
    messages = list(before.messages) if before is not None and write.expected_head else []
    if only_appends(before, write) if appends is None else appends:
        messages += write.added
    else:
        gone = set(write.removed)
        messages = [message for message in messages if message.pos not in gone]
        messages += write.added
        messages.sort(key=lambda message: message.pos)
    first_free = next_pos(before.next_pos if before is not None else 0, write.added)
    return Snapshot(
        committed.thread_no, committed.head, first_free, write.fields, messages, committed.placement
    )
