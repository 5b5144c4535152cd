"""Messages as a page shows them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

type PartKind = Literal["text", "code", "reasoning", "error", "note"]
_ROLES: Final = {"user": "You", "assistant": "Agent", "system": "System", "tool": "Tool"}
_MOST_TEXT: Final = 20_000
_LATEST: Final = 10**11  # beyond it a timestamp counts milliseconds


@dataclass(frozen=True, slots=True)
class Part:
    """A block of a message: its text, and what it is called if that is not obvious."""

    kind: PartKind
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A message.

    Attributes:
        role: As the API names it; colours it.
        who: The same in a word.
        at: When; None if it does not say.
        tokens: That a model reported for it; None if none did.
    """

    message_id: str
    role: str
    who: str
    parts: list[Part]
    at: datetime | None
    tokens: int | None


def said_of(message: Mapping[str, Any]) -> Said:
    """A message as the API shows it."""
    role = str(message.get("role") or "")
    parts = [_part(block) for block in message.get("content") or () if isinstance(block, Mapping)]
    reasoning = message.get("reasoning")
    if reasoning:
        parts.insert(0, Part("reasoning", _cut(str(reasoning)), "Reasoning"))
    usages = message.get("usages")
    return Said(
        message_id=str(message.get("message_id") or ""),
        role=role if role in _ROLES else "other",
        who=_ROLES.get(role, role or "Message"),
        parts=[*parts, *_calls(message)],
        at=_time(message.get("timestamp")),
        tokens=usages.get("total_tokens") if isinstance(usages, Mapping) else None,
    )


def _part(block: Mapping[str, Any]) -> Part:
    match block.get("type"):
        case "text":
            return Part("text", _cut(str(block.get("text") or "")))
        case "reasoning":
            return Part("reasoning", _cut(str(block.get("summary") or "")), "Reasoning")
        case "tool_call" | "remote_tool_call":
            return Part("code", _as_code(block.get("args")), f"Calls {block.get('name')}")
        case "tool_result":
            failed = bool(block.get("is_error"))
            title = "The tool failed" if failed else "Result"
            return Part("error" if failed else "code", _as_code(block.get("output")), title)
        case "error":
            return Part("error", _cut(str(block.get("message") or "")), "Error")
        case "image" | "audio" | "video" | "document" as kind:
            return Part("note", _media(block.get("media")), str(kind).capitalize())
        case other:
            return Part("code", _as_code(dict(block)), str(other or "Block"))


def _calls(message: Mapping[str, Any]) -> Iterable[Part]:
    """Tool calls that only stand beside the blocks."""
    blocks = message.get("content") or ()
    told = {block.get("id") for block in blocks if isinstance(block, Mapping)}
    for call in message.get("tools_calls") or ():
        if isinstance(call, Mapping) and call.get("id") not in told:
            asked = call.get("function")
            of = asked if isinstance(asked, Mapping) else call
            args = of.get("arguments", of.get("args"))
            yield Part("code", _as_code(args), f"Calls {of.get('name')}")


def _media(media: Any) -> str:
    """Which file it is: nothing is fetched from where a user's message says."""
    if not isinstance(media, Mapping):
        return "no file"
    named = media.get("filename") or media.get("url") or media.get("file_id") or "inline data"
    return " · ".join(_cut(str(word)) for word in (named, media.get("mime_type")) if word)


def _as_code(value: Any) -> str:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return _cut(value)
    return _cut(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text):,} characters)"


def _time(timestamp: Any) -> datetime | None:
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool):
        return None
    seconds = timestamp / 1000 if timestamp > _LATEST else timestamp
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
