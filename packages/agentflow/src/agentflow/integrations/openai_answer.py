"""What a chat completions endpoint answered, as a message."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentflow.core.state.blocks import ContentBlock, ErrorBlock, TextBlock, ToolCallBlock
from agentflow.core.state.message import Message, TokenUsages, new_id
from agentflow.errors import StateEncodingError
from agentflow.utils.constants import RAW_ARGUMENTS
from agentflow.utils.jsontext import json_text


@dataclass(slots=True)
class AskedCall:
    """A tool call as the endpoint gave it; `arguments` is JSON text, or meant to be."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int | None = None


@dataclass(slots=True)
class Answer:
    """A whole completion, streamed or not."""

    text: str
    refusal: str
    reasoning: str
    calls: list[AskedCall]
    finish_reason: str | None
    usage: Any


def answer_of(completion: Any) -> Answer | None:
    """The first choice of a completion; None when there is none."""
    if not completion.choices:
        return None
    choice = completion.choices[0]
    said = choice.message
    return Answer(
        text=said.content or "",
        refusal=said.refusal or "",
        reasoning=thought_of(said),
        calls=[
            AskedCall(call.id or "", call.function.name or "", _as_text(call.function.arguments))
            for call in said.tool_calls or ()
        ],
        finish_reason=choice.finish_reason,
        usage=completion.usage,
    )


def message_of(answer: Answer, *, message_id: str, metadata: dict[str, Any]) -> Message:
    """The answer as an assistant's message; a refusal is an error block with code `refusal`."""
    content: list[ContentBlock] = []
    if answer.text:
        content.append(TextBlock(text=mended(answer.text)))
    if answer.refusal:
        content.append(ErrorBlock(message=mended(answer.refusal), code="refusal"))
    calls = list(_with_own_ids(answer.calls))
    content += [
        ToolCallBlock(id=call.id, name=mended(call.name), args=parse_arguments(mended(call.arguments)))
        for call in calls
    ]
    return Message(
        message_id=message_id,
        role="assistant",
        content=content,
        tools_calls=[_as_protocol(call) for call in calls] or None,
        metadata={**metadata, "finish_reason": answer.finish_reason},
        reasoning=mended(answer.reasoning) or None,
        usages=usages_of(answer.usage),
    )


def thought_of(said: Any) -> str:
    """The reasoning in a message or a piece of one: no part of the protocol, so endpoints differ."""
    for name in ("reasoning_content", "reasoning"):
        thought = getattr(said, name, None)
        if isinstance(thought, str) and thought:
            return thought
    return ""


def parse_arguments(text: str) -> dict[str, Any]:
    """A call's arguments; what is no storable JSON object is kept under RAW_ARGUMENTS."""
    try:
        arguments = json.loads(text or "{}")
        json_text(arguments, field="args")
    except (ValueError, RecursionError, StateEncodingError):
        return {RAW_ARGUMENTS: text}
    return arguments if isinstance(arguments, dict) else {RAW_ARGUMENTS: text}


def usages_of(usage: Any) -> TokenUsages | None:
    """A completion's usage object as token counts; what an endpoint does not count is 0."""
    if usage is None:
        return None
    prompt = getattr(usage, "prompt_tokens_details", None)
    completion = getattr(usage, "completion_tokens_details", None)
    return TokenUsages(
        completion_tokens=getattr(usage, "completion_tokens", 0) or 0,
        prompt_tokens=getattr(usage, "prompt_tokens", 0) or 0,
        total_tokens=getattr(usage, "total_tokens", 0) or 0,
        reasoning_tokens=getattr(completion, "reasoning_tokens", 0) or 0,
        cache_read_input_tokens=getattr(prompt, "cached_tokens", 0) or 0,
    )


def mended(text: str) -> str:
    """The text with surrogate halves joined; one without its other half becomes U+FFFD.

    Endpoints that stream JSON cut it between the escapes of one character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _with_own_ids(calls: Iterable[AskedCall]) -> Iterable[AskedCall]:
    """Some endpoints give calls no id, or all the same one; results need to tell them apart."""
    seen = {""}
    for call in calls:
        call.id = f"call_{new_id()}" if call.id in seen else call.id
        seen.add(call.id)
        yield call


def _as_text(arguments: Any) -> str:
    """Some endpoints give the arguments as an object, where the protocol has JSON text."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments or {})


def _as_protocol(call: AskedCall) -> dict[str, Any]:
    function = {"name": mended(call.name), "arguments": mended(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}
