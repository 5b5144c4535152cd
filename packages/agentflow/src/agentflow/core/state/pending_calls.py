"""Which tool calls of a conversation have no result yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentflow.core.state.blocks import RemoteToolCallBlock, ToolCallBlock
from agentflow.core.state.message import Message
from agentflow.errors import InvalidInputError

Call = ToolCallBlock | RemoteToolCallBlock


@dataclass(slots=True)
class PendingCall:
    """A call without a result.

    Attributes:
        call: Of the two blocks with its id the remote one, once it was handed to the client.
        message_id: Of the message that made it.
        nth: Its place among the calls of that message with the same id: models repeat ids.
    """

    call: Call
    message_id: str
    nth: int = 0


def pending_calls(context: Sequence[Message]) -> list[PendingCall]:
    """Calls made since the user last spoke that have no result yet, in the order they were made.

    A user who speaks instead of answering leaves the calls before behind, and so does a later message that
    makes a call of the same id.
    """
    start = max((i for i, message in enumerate(context) if message.role == "user"), default=-1) + 1
    return _pending(context[start:])


def check_results(context: Sequence[Message], given: Iterable[Message]) -> None:
    """Refuse results that nobody waits for.

    Raises:
        InvalidInputError: A tool result in `given` answers no pending call, or answers one twice.
    """
    given = list(given)
    results = [result for message in given for result in message.tool_results()]
    if not results:
        return
    waiting = _pending([*context, *(message for message in given if message.role == "assistant")])
    for result in results:
        if not _answer(waiting, result.call_id):
            raise InvalidInputError(
                f"No tool call {result.call_id!r} waits for a result: it was answered already, or never made."
            )


class CallBook:
    """Which calls of a conversation wait for a result, while it is read message by message."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._waiting: list[PendingCall] = []

    def read(self, message: Message) -> list[str]:
        """Go on by one message; ids of its results that nobody waited for."""
        for block in message.content:
            if isinstance(block, ToolCallBlock | RemoteToolCallBlock):
                _add(self._waiting, block, message.message_id)
        return [
            result.call_id for result in message.tool_results() if not _answer(self._waiting, result.call_id)
        ]

    def waits_in(self, message_ids: set[str]) -> str | None:
        """A call that one of these messages makes and that waits still; None for none."""
        return next((call.call.id for call in self._waiting if call.message_id in message_ids), None)


def _pending(messages: Sequence[Message]) -> list[PendingCall]:
    waiting: list[PendingCall] = []
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolCallBlock | RemoteToolCallBlock):
                _add(waiting, block, message.message_id)
        for result in message.tool_results():
            _answer(waiting, result.call_id)
    return waiting


def _add(waiting: list[PendingCall], block: Call, message_id: str) -> None:
    same = [pending for pending in waiting if pending.call.id == block.id]
    if isinstance(block, RemoteToolCallBlock):
        handed = next((pending for pending in same if isinstance(pending.call, ToolCallBlock)), None)
        if handed is not None:
            handed.call = block
            return
    for old in same:
        if old.message_id != message_id:
            waiting.remove(old)
    nth = sum(pending.message_id == message_id for pending in same)
    waiting.append(PendingCall(block, message_id, nth))


def _answer(waiting: list[PendingCall], call_id: str) -> bool:
    """Take the first call of that id off; False if there is none."""
    for i, pending in enumerate(waiting):
        if pending.call.id == call_id:
            del waiting[i]
            return True
    return False
