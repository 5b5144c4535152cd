"""Putting a streamed completion back together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.core.state.blocks import ToolCallBlock
from agentflow.integrations.openai_chat import parse_arguments


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


class StreamedAnswer:
    """Collects the chunks of one completion."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.text = ""
        self.refusal = ""
        self.reasoning: str | None = None
        self.finish_reason: str | None = None
        self.usage: Any = None
        self._calls: dict[int, _Call] = {}

    def add(self, chunk: Any) -> str:
        """Take in a chunk; gives the text it brought."""
        if chunk.usage is not None:
            self.usage = chunk.usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.finish_reason = choice.finish_reason or self.finish_reason
        delta = choice.delta
        self.refusal += delta.refusal or ""
        thought = getattr(delta, "reasoning_content", None)
        if thought:
            self.reasoning = (self.reasoning or "") + thought
        for piece in delta.tool_calls or ():
            call = self._calls.setdefault(piece.index, _Call())
            call.id = piece.id or call.id
            if piece.function is not None:
                call.name += piece.function.name or ""
                call.arguments += piece.function.arguments or ""
        text: str = delta.content or ""
        self.text += text
        return text

    def calls(self) -> Sequence[ToolCallBlock]:
        """The calls, in the order of their numbers."""
        return [
            ToolCallBlock(id=call.id, name=call.name, args=parse_arguments(call.arguments))
            for _, call in sorted(self._calls.items())
        ]
