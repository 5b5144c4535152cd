"""A message of a conversation."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from agentflow.core.state.blocks import (
    ContentBlock,
    ErrorBlock,
    ReasoningBlock,
    RemoteToolCallBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    Value,
)
from agentflow.utils.random_ids import random_hex

Role = Literal["user", "assistant", "system", "tool"]

# What clients send when they mean "give it an id"; never a key.
_UNSET_IDS = (None, "", "0", 0)


def new_id() -> str:
    """A random id: 32 hex digits."""
    return random_hex()


def _assigned(value: object) -> object:
    if isinstance(value, bool):
        return value
    if value in _UNSET_IDS:
        return new_id()
    return str(value) if isinstance(value, int) else value


class TokenUsages(Value):
    """Tokens that a model counted for one answer."""

    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class Message(Value):  # noqa: PLW1641 - pydantic makes the hash of frozen models
    """One message: immutable; edit by returning a copy with the same `message_id`.

    `message_id` is unique within a thread only. None, "" and "0" mean "assign one".
    `timestamp` is in seconds since the epoch (a client may send its own, in its own unit).
    """

    message_id: Annotated[str, BeforeValidator(_assigned, json_schema_input_type=str | int | None)] = Field(
        default_factory=new_id, min_length=1
    )
    role: Role
    content: list[ContentBlock]
    delta: bool = False
    tools_calls: list[dict[str, Any]] | None = None
    reasoning: str | None = None
    timestamp: float | None = Field(default_factory=time.time)
    metadata: dict[str, Any] = Field(default_factory=dict)
    usages: TokenUsages | None = None
    raw: dict[str, Any] | None = None
    parsed_content: Any = None

    def __eq__(self, other: object) -> bool:
        """Whether both would be stored the same: 1 is neither True nor 1.0, so that such an edit is one."""
        found = super().__eq__(other)
        return repr(self) == repr(other) if found is True else found

    @classmethod
    def text_message(cls, content: str, role: Role = "user", message_id: str | None = None) -> Message:
        """A message of one text block.

        Args:
            content: The text.
            role: Who says it.
            message_id: Id within the thread; assigned when None.
        """
        return cls(message_id=_given(message_id), role=role, content=[TextBlock(text=content)])

    @classmethod
    def tool_message(
        cls,
        content: list[ContentBlock],
        message_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Message:
        """A message of role `tool`, usually one `ToolResultBlock` per call."""
        return cls(message_id=_given(message_id), role="tool", content=content, metadata=metadata or {})

    def text(self) -> str:
        """All readable text of the message, blocks joined by nothing."""
        return "".join(filter(None, map(_block_text, self.content)))

    def tool_calls(self) -> list[ToolCallBlock]:
        """The calls in this message that run on this side, in order."""
        return [block for block in self.content if isinstance(block, ToolCallBlock)]

    def remote_tool_calls(self) -> list[RemoteToolCallBlock]:
        """The calls in this message that the client runs, in order."""
        return [block for block in self.content if isinstance(block, RemoteToolCallBlock)]

    def tool_results(self) -> list[ToolResultBlock]:
        """The results in this message, in order."""
        return [block for block in self.content if isinstance(block, ToolResultBlock)]


def _given(message_id: str | None) -> str:
    return message_id if message_id is not None else new_id()


def _block_text(block: ContentBlock) -> str | None:
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, ReasoningBlock):
        return block.summary
    if isinstance(block, ErrorBlock):
        return block.message
    if isinstance(block, ToolResultBlock) and isinstance(block.output, str):
        return block.output
    return None
