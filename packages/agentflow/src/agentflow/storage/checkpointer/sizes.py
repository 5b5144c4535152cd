"""How large what is stored may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MESSAGE_BYTES: Final = "message_bytes"
STATE_BYTES: Final = "state_bytes"
METADATA_BYTES: Final = "metadata_bytes"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes above which a checkpoint is refused, in bytes as encoded.

    Attributes:
        max_thread_messages: Messages that a thread may have had in all, also those that left its context.
    """

    max_message_bytes: int = 1024 * 1024
    max_state_bytes: int = 1024 * 1024
    max_thread_messages: int = 1_000_000

    def within(self, other: Limits | None) -> Limits:
        """The lower of both, limit by limit."""
        if other is None:
            return self
        return Limits(
            min(self.max_message_bytes, other.max_message_bytes),
            min(self.max_state_bytes, other.max_state_bytes),
            min(self.max_thread_messages, other.max_thread_messages),
        )
