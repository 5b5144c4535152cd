"""Where a conversation may be cut: never between a tool call and what answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.core.state.blocks import RemoteToolCallBlock, ToolCallBlock, ToolResultBlock
from agentflow.core.state.message import Message


@dataclass(slots=True)
class _Call:
    """A call with its id, and whether anything answered it yet."""

    made_at: int
    is_answered: bool = False

    def waits_since(self, last_user: int) -> bool:
        """Whether it may still be answered: a user who speaks leaves the calls before behind."""
        return not self.is_answered and self.made_at > last_user


def legal_cuts(messages: Sequence[Message]) -> list[int]:
    """Every index before which the conversation falls into two, ascending; 0 and its length are always there.

    A call stays with all its results, however many there are and however late they come, and a call that was
    handed to the client with both its blocks. One that still waits for its result stays with the end.

    Cost: one pass.
    """
    bound_to = _bound(messages)
    cuts, reach = [], -1
    for at in range(len(messages)):
        if reach < at:
            cuts.append(at)
        reach = max(reach, bound_to[at])
    return [*cuts, len(messages)]


def _bound(messages: Sequence[Message]) -> list[int]:
    """For each message the index of the last one that it cannot be parted from."""
    bound_to = list(range(len(messages)))
    calls: dict[str, _Call] = {}
    last_user = -1
    for at, message in enumerate(messages):
        last_user = at if message.role == "user" else last_user
        for block in message.content:
            if isinstance(block, ToolResultBlock):
                call = calls.get(block.call_id)
                if call is not None:
                    call.is_answered = True
                    bound_to[call.made_at] = at
            elif isinstance(block, ToolCallBlock | RemoteToolCallBlock):
                open_call = calls.get(block.id)
                if isinstance(block, RemoteToolCallBlock) and open_call and open_call.waits_since(last_user):
                    bound_to[open_call.made_at] = at
                else:
                    calls[block.id] = _Call(at)
    for call in calls.values():
        if call.waits_since(last_user):
            bound_to[call.made_at] = len(messages) - 1
    return bound_to
