"""Messages on their way into a thread, as many as are written at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from agentflow.core.state.codec import encode_message
from agentflow.core.state.message import Message
from agentflow.core.state.pending_calls import CallBook
from agentflow.storage.checkpointer.types import StoredMessage

_MOST_MESSAGES: Final = 500
_MOST_BYTES: Final = 1024 * 1024
# So many times as much may wait for the results of its calls.
_STRETCH: Final = 4


@dataclass(slots=True)
class MessageBatch:
    """Bounded in number and bytes; it ends between exchanges.

    Attributes:
        rows: Without positions yet.
    """

    messages: list[Message] = field(default_factory=list)
    rows: list[StoredMessage] = field(default_factory=list)
    size_bytes: int = 0
    ids: set[str] = field(default_factory=set)

    def add(self, message: Message) -> None:
        """Take one more.

        Raises:
            StateEncodingError: It holds something that is not data.
        """
        row = encode_message(message, 0)
        self.messages.append(message)
        self.rows.append(row)
        self.ids.add(message.message_id)
        self.size_bytes += len(row.content) + len(row.extra or "")

    def is_full(self, calls: CallBook) -> bool:
        """Whether to write it now: not between a call and its result, unless that takes too long."""
        if self.is_over(1):
            return self.is_over(_STRETCH) or calls.waits_in(self.ids) is None
        return False

    def is_over(self, times: int) -> bool:
        """Whether it is as large as so many batches."""
        return len(self.messages) >= times * _MOST_MESSAGES or self.size_bytes >= times * _MOST_BYTES
