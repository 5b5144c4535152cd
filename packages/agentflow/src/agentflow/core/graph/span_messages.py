"""What was said to a model and by it, in the form of OpenTelemetry's conventions: messages of parts.

See https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages.json, and gen-ai-output-messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentflow.integrations.openai_answer import Answer

_Part = dict[str, Any]


def asked(messages: Iterable[Mapping[str, Any]]) -> str:
    """Messages of a request for a chat completion, as JSON: `[{"role", "parts": [...]}]`."""
    return _text([{"role": message.get("role", ""), "parts": _parts(message)} for message in messages])


def answered(answer: Answer) -> str:
    """The answer, as JSON: the same of one message, with its `finish_reason`."""
    parts: list[_Part] = [{"type": "reasoning", "content": answer.reasoning}] if answer.reasoning else []
    if said := answer.text or answer.refusal:
        parts.append({"type": "text", "content": said})
    parts += [_call(call.id, call.name, call.arguments) for call in answer.calls]
    return _text([{"role": "assistant", "parts": parts, "finish_reason": answer.finish_reason or "unknown"}])


def _parts(message: Mapping[str, Any]) -> list[_Part]:
    content = message.get("content")
    if message.get("role") == "tool":
        return [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}]
    parts = (
        [{"type": "text", "content": content}] if isinstance(content, str) else [*map(_part, content or ())]
    )
    calls = message.get("tool_calls") or ()
    return parts + [_call(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls]


def _part(part: Mapping[str, Any]) -> _Part:
    """Text is alike everywhere; what else there is keeps the form that the endpoint takes."""
    return {"type": "text", "content": part["text"]} if part.get("type") == "text" else dict(part)


def _call(call_id: str, name: str, arguments: str) -> _Part:
    given: Any = arguments
    with suppress(ValueError):  # then they are as the model wrote them
        given = json.loads(arguments)
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": given}


def _text(messages: object) -> str:
    """Whatever is in them: a span that cannot be written must end no run."""
    return json.dumps(messages, default=str)
