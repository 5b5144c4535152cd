"""Messages as the chat completions protocol has them, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from agentflow.core.state.blocks import (
    AudioBlock,
    ContentBlock,
    DataBlock,
    DocumentBlock,
    ErrorBlock,
    ImageBlock,
    MediaRef,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
)
from agentflow.core.state.message import Message, TokenUsages

# Where a call's arguments are kept that were not a JSON object, so that nothing the model said is lost.
RAW_ARGUMENTS: Final = "__raw_arguments__"

_NO_RESULT: Final = "The tool gave no result."


def to_chat(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A context as chat messages.

    Every tool call is followed by its result, as endpoints insist: a result that stands elsewhere is
    moved behind its call, and a call without one, left by an interrupted run, gets a note instead.
    Reasoning is left out; models do not take it back.
    """
    results = {result.call_id: result for message in messages for result in message.tool_results()}
    chat: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "tool":
            continue
        if message.role == "assistant":
            chat += _assistant(message, results)
        else:
            chat.append({"role": message.role, "content": _content(message.content)})
    return chat


def from_chat(answer: Any, *, message_id: str, metadata: dict[str, Any]) -> Message:
    """A completion's message (an object with `content`, `refusal`, `tool_calls`) as a Message."""
    calls = [
        ToolCallBlock(id=call.id, name=call.function.name, args=parse_arguments(call.function.arguments))
        for call in answer.tool_calls or ()
    ]
    return assistant_message(
        answer.content, answer.refusal, calls, message_id=message_id, metadata=metadata, reasoning=None
    )


def assistant_message(
    text: str | None,
    refusal: str | None,
    calls: Iterable[ToolCallBlock],
    *,
    message_id: str,
    metadata: dict[str, Any],
    reasoning: str | None,
    usages: TokenUsages | None = None,
) -> Message:
    """A model's whole answer as one message."""
    blocks: list[ContentBlock] = []
    if text:
        blocks.append(TextBlock(text=text))
    if refusal:
        blocks.append(ErrorBlock(message=refusal, code="refusal"))
    blocks += calls
    return Message(
        message_id=message_id,
        role="assistant",
        content=blocks,
        metadata=metadata,
        reasoning=reasoning,
        usages=usages,
    )


def parse_arguments(text: str | None) -> dict[str, Any]:
    """A call's arguments; what is no JSON object is kept under RAW_ARGUMENTS."""
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {RAW_ARGUMENTS: text}
    return arguments if isinstance(arguments, dict) else {RAW_ARGUMENTS: text}


def usages_of(usage: Any) -> TokenUsages | None:
    """A completion's usage object as token counts."""
    if usage is None:
        return None
    prompt = getattr(usage, "prompt_tokens_details", None)
    completion = getattr(usage, "completion_tokens_details", None)
    return TokenUsages(
        completion_tokens=usage.completion_tokens or 0,
        prompt_tokens=usage.prompt_tokens or 0,
        total_tokens=usage.total_tokens or 0,
        reasoning_tokens=getattr(completion, "reasoning_tokens", 0) or 0,
        cache_read_input_tokens=getattr(prompt, "cached_tokens", 0) or 0,
    )


def _assistant(message: Message, results: dict[str, ToolResultBlock]) -> list[dict[str, Any]]:
    calls = message.tool_calls()
    blocks = [block for block in message.content if not isinstance(block, ToolCallBlock)]
    said: dict[str, Any] = {"role": "assistant", "content": _text(blocks) or None}
    if calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call)},
            }
            for call in calls
        ]
    if not calls and said["content"] is None:
        return []
    answers = [
        {"role": "tool", "tool_call_id": call.id, "content": _result(results.get(call.id))} for call in calls
    ]
    return [said, *answers]


def _arguments(call: ToolCallBlock) -> str:
    raw = call.args.get(RAW_ARGUMENTS)
    return raw if isinstance(raw, str) else json.dumps(call.args, ensure_ascii=False)


def _result(result: ToolResultBlock | None) -> str:
    if result is None:
        return _NO_RESULT
    return result.output if isinstance(result.output, str) else json.dumps(result.output, ensure_ascii=False)


def _content(blocks: Sequence[ContentBlock]) -> str | list[dict[str, Any]]:
    parts = [part for part in map(_part, blocks) if part is not None]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _text(blocks: Sequence[ContentBlock]) -> str:
    return "\n".join(
        part["text"] for part in map(_part, blocks) if part is not None and part["type"] == "text"
    )


def _part(block: ContentBlock) -> dict[str, Any] | None:
    """A block as a part of a user's message; None for what the protocol has no part for."""
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ErrorBlock):
        return {"type": "text", "text": block.message}
    if isinstance(block, ImageBlock):
        return {"type": "image_url", "image_url": {"url": _url(block.media, "image/png")}}
    if isinstance(block, AudioBlock) and block.media.data_base64:
        kind = (block.media.mime_type or "audio/wav").rsplit("/", 1)[-1].replace("mpeg", "mp3")
        return {"type": "input_audio", "input_audio": {"data": block.media.data_base64, "format": kind}}
    if isinstance(block, AudioBlock) and block.transcript:
        return {"type": "text", "text": block.transcript}
    if isinstance(block, DocumentBlock) and (block.text or block.excerpt):
        return {"type": "text", "text": block.text or block.excerpt}
    if isinstance(block, DocumentBlock | DataBlock) and block.media is not None:
        return {"type": "file", "file": _file(block.media)}
    return None


def _file(media: MediaRef) -> dict[str, Any]:
    if media.file_id:
        return {"file_id": media.file_id}
    return {"filename": media.filename or "file", "file_data": _url(media, "application/octet-stream")}


def _url(media: MediaRef, default_type: str) -> str:
    if media.data_base64:
        return f"data:{media.mime_type or default_type};base64,{media.data_base64}"
    return media.url or media.file_id or ""
