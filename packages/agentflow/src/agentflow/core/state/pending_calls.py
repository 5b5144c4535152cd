"""Which tool calls of a conversation have no result yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentflow.core.state.blocks import RemoteToolCallBlock, ToolCallBlock
from agentflow.core.state.message import Message
from agentflow.errors import InvalidInputError

Call = ToolCallBlock | RemoteToolCallBlock


def pending_calls(context: Sequence[Message]) -> dict[str, Call]:
    """Calls made since the user last spoke that have no result yet, by id, in the order they were made.

    A call that was handed to the client is the remote one of the two blocks with its id.
    A user who speaks instead of answering leaves the calls before behind.
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
        if waiting.pop(result.call_id, None) is None:
            raise InvalidInputError(
                f"No tool call {result.call_id!r} waits for a result: it was answered already, or never made."
            )


def _pending(messages: Sequence[Message]) -> dict[str, Call]:
    waiting: dict[str, Call] = {}
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolCallBlock | RemoteToolCallBlock):
                waiting[block.id] = block
        for result in message.tool_results():
            waiting.pop(result.call_id, None)
    return waiting
