"""A conversation as text for a model to read, not to go on with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import to_json

from agentflow.core.state.blocks import (
    AudioBlock,
    ContentBlock,
    DataBlock,
    DocumentBlock,
    ErrorBlock,
    ImageBlock,
    RemoteToolCallBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    VideoBlock,
)
from agentflow.core.state.message import Message

_MEDIA = (ImageBlock, VideoBlock, DataBlock, DocumentBlock, AudioBlock)


def transcript(messages: Iterable[Message]) -> str:
    """One paragraph a message: who says what, calls which tool, and what came back. Media by their names."""
    return "\n\n".join(f"{message.role}: {' '.join(_said(message))}" for message in messages)


def _said(message: Message) -> Iterator[str]:
    for block in message.content:
        text = _block(block)
        if text:
            yield text


def _block(block: ContentBlock) -> str | None:
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, ToolCallBlock | RemoteToolCallBlock):
        return f"[calls {block.name} {_json(block.args)}]"
    if isinstance(block, ToolResultBlock):
        failed = "failed: " if block.is_error or block.status == "failed" else ""
        return f"[result: {failed}{block.output if isinstance(block.output, str) else _json(block.output)}]"
    if isinstance(block, ErrorBlock):
        return f"[error: {block.message}]"
    return _medium(block) if isinstance(block, _MEDIA) else None


def _medium(block: ImageBlock | VideoBlock | DataBlock | DocumentBlock | AudioBlock) -> str:
    told = {
        "document": getattr(block, "text", None) or getattr(block, "excerpt", None),
        "audio": getattr(block, "transcript", None),
        "image": getattr(block, "alt_text", None),
    }.get(block.type)
    media = block.media
    name = None if media is None else media.filename or media.url or media.file_id
    return f"[{block.type}: {told or name or 'not shown'}]"


def _json(value: Any) -> str:
    return to_json(value, fallback=str, inf_nan_mode="constants").decode()
