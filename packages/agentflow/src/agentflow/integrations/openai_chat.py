"""A context as the chat completions protocol has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentflow.core.state.blocks import RemoteToolCallBlock, ToolCallBlock, ToolResultBlock
from agentflow.core.state.message import Message
from agentflow.integrations.openai_parts import parts_of, text_of
from agentflow.utils.constants import RAW_ARGUMENTS

_NO_RESULT: Final = "The tool gave no result."


@dataclass(slots=True)
class _Called:
    """A call, and its result once there is one."""

    call: ToolCallBlock | RemoteToolCallBlock
    result: ToolResultBlock | None = None


def to_chat(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A context as chat messages.

    Every tool call is followed by its result, as endpoints insist: a result that stands elsewhere is
    moved behind its call. A call without one, left by an interrupted run, gets a note instead; leaving
    the call out would hide from the model that it asked. A result without a call is left out, and so
    is reasoning: models do not take it back.

    Cost: O(context).
    """
    chat: list[dict[str, Any]] = []
    for message, calls in zip(messages, _calls(messages), strict=True):
        if message.role == "assistant" or calls:
            chat += _asked(message, calls)
        elif message.role == "system":
            chat.append({"role": "system", "content": text_of(message.content)})
        elif message.role == "user":
            chat.append({"role": "user", "content": parts_of(message.content)})
    return chat


def _calls(messages: Sequence[Message]) -> list[list[_Called]]:
    """The calls that each message makes.

    Ids may repeat: a result is for the latest message before it that made such a call, and for the first
    one there that has none.
    """
    waiting: dict[str, list[_Called]] = {}
    found: list[list[_Called]] = []
    for message in messages:
        made: list[_Called] = []
        for block in message.content:
            if isinstance(block, ToolResultBlock):
                if called := waiting.get(block.call_id):
                    called.pop(0).result = block
            elif isinstance(block, ToolCallBlock | RemoteToolCallBlock):
                if isinstance(block, RemoteToolCallBlock) and waiting.get(block.id):
                    continue  # the call of an assistant, handed to the client
                made.append(_Called(block))
                waiting[block.id] = [called for called in made if called.call.id == block.id]
        found.append(made)
    return found


def _asked(message: Message, calls: Sequence[_Called]) -> list[dict[str, Any]]:
    """What an assistant said and the tools it called, with their results."""
    said: dict[str, Any] = {"role": "assistant", "content": text_of(message.content) or None}
    if calls:
        said["tool_calls"] = [_call(called.call) for called in calls]
    elif said["content"] is None:
        return []
    results = [
        {"role": "tool", "tool_call_id": called.call.id, "content": _result(called.result)}
        for called in calls
    ]
    return [said, *results]


def _call(call: ToolCallBlock | RemoteToolCallBlock) -> dict[str, Any]:
    raw = call.args.get(RAW_ARGUMENTS)
    arguments = raw if isinstance(raw, str) else json.dumps(call.args, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _result(result: ToolResultBlock | None) -> str:
    if result is None:
        return _NO_RESULT
    return result.output if isinstance(result.output, str) else json.dumps(result.output, ensure_ascii=False)
