"""LangChain messages as rows that plain SQL can search, and back, exactly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from agentflow.core.state.context_log import Entry
from agentflow.errors import CorruptStateError
from agentflow.integrations.langgraph.values import Values, is_data
from agentflow.storage.checkpointer.types import BLOCKS, PLAIN_TEXT, StoredMessage
from agentflow.utils.jsontext import json_text

# What a message may be, and the role its row has. Anything else is stored as a value, not as rows.
_ROLES: Final[dict[type[BaseMessage], str]] = {
    HumanMessage: "user",
    AIMessage: "assistant",
    SystemMessage: "system",
    ToolMessage: "tool",
    FunctionMessage: "tool",
    ChatMessage: "user",
    HumanMessageChunk: "user",
    AIMessageChunk: "assistant",
    SystemMessageChunk: "system",
    ToolMessageChunk: "tool",
    FunctionMessageChunk: "tool",
    ChatMessageChunk: "user",
}
_BY_NAME: Final = {kind.__name__: kind for kind in _ROLES}
# The usual type of a role: a row of it need not name its type.
_USUAL: Final[dict[str, type[BaseMessage]]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
}
_COLUMNS: Final = {"content", "id", "type"}


@dataclass(slots=True)
class Row:
    """A message as it is stored, without its position; equal to another by what is stored.

    Attributes:
        message: The live message it was last seen as.
        seen: That message's attributes as data of our own, to notice what is changed in place; None if they
            are not plain data.
    """

    message_id: str
    role: str
    content_kind: int
    content: str
    extra: str | None
    message: BaseMessage | None = field(default=None, compare=False, repr=False)
    seen: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    def is_still(self, message: BaseMessage) -> bool:
        """Whether this very message is stored here already, unchanged."""
        return self.message is message and self.seen is not None and self.seen == message.__dict__

    def at(self, pos: int, sent_at: float | None) -> StoredMessage:
        """The row at a position."""
        return StoredMessage(
            pos, self.message_id, self.role, self.content_kind, self.content, self.extra, sent_at
        )


def is_message_list(value: Any) -> bool:
    """Whether `value` can be stored as rows."""
    return type(value) is list and all(type(message) in _ROLES for message in value)


def rows_for(entries: Sequence[Entry[Row]], messages: Sequence[BaseMessage], values: Values) -> list[Row]:
    """A row for each message: the one it has already, where there is one.

    Cost: one comparison a message that was there before; only others are encoded.
    """
    rows: list[Row] = []
    others: dict[int, Row] | None = None
    for i, message in enumerate(messages):
        if i < len(entries) and entries[i][1].is_still(message):
            rows.append(entries[i][1])
            continue
        if others is None:
            others = {id(row.message): row for _, row in entries if row.message is not None}
        known = others.get(id(message))
        rows.append(known if known is not None and known.is_still(message) else encode(message, values))
    return rows


def adopt(entries: Sequence[Entry[Row]], rows: Sequence[Row]) -> None:
    """Let the rows that stay know the live messages they were given as."""
    for (_, kept), row in zip(entries, rows, strict=True):
        if kept is not row:
            kept.message, kept.seen = row.message, row.seen


def encode(message: BaseMessage, values: Values) -> Row:
    """A message as a row.

    Raises:
        StateEncodingError: It holds what cannot be stored as data.
    """
    attributes = message.model_dump(exclude=_COLUMNS, exclude_defaults=True, warnings=False)
    if is_data(attributes) and is_data(message.content):
        row = _plain(message, attributes)
        if _same_message(decode(row, values), message):
            row.message, row.seen = message, message.model_dump(warnings=False)
            return row
    row = _plain(message, {})
    row.extra = json_text({"value": values.dump(message, field="messages")}, field="messages")
    return row


def decode(row: Row | StoredMessage, values: Values) -> BaseMessage:
    """The message of a row.

    Raises:
        CorruptStateError: The row is not what `encode` makes.
    """
    try:
        extra: dict[str, Any] = json.loads(row.extra) if row.extra else {}
        if "value" in extra:
            return _checked(values.load(extra["value"]), row)
        kind = _BY_NAME[extra["class"]] if "class" in extra else _USUAL[row.role]
        content: Any = row.content if row.content_kind == PLAIN_TEXT else json.loads(row.content)
        if extra.get("text"):
            content = content[0]
        message_id = None if extra.get("no_id") else row.message_id
        return kind(**{**extra.get("attributes", {}), "content": content, "id": message_id})
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise _corrupt(row) from error


def row_of(stored: StoredMessage, message: BaseMessage | None) -> Row:
    """The row of a stored message, with the live message it was decoded to."""
    seen = None
    if message is not None and not (stored.extra or "").startswith('{"value":'):
        seen = message.model_dump(warnings=False)
    return Row(
        stored.message_id, stored.role, stored.content_kind, stored.content, stored.extra, message, seen
    )


def _plain(message: BaseMessage, attributes: dict[str, Any]) -> Row:
    """A row that says what columns and JSON can say."""
    kind = type(message)
    role = _ROLES[kind]
    extra: dict[str, Any] = {}
    if _USUAL[role] is not kind:
        extra["class"] = kind.__name__
    if message.id is None:
        extra["no_id"] = True
    if attributes:
        extra["attributes"] = attributes
    content_kind, content = PLAIN_TEXT, message.content
    if not isinstance(content, str):
        content_kind, content = BLOCKS, _blocks(message)
    elif "\0" in content:
        # A NUL cannot be stored as text; JSON escapes it.
        content_kind, content = BLOCKS, json_text([content], field="messages")
        extra["text"] = True
    text = json_text(extra, field="messages") if extra else None
    return Row(message.id or "", role, content_kind, content, text)


def _blocks(message: BaseMessage) -> str:
    """The content's blocks, or what can be searched of them."""
    blocks: Any = message.content if is_data(message.content) else [str(message.text)]
    return json_text(blocks, field="messages")


def _same_message(one: BaseMessage, other: BaseMessage) -> bool:
    return type(one) is type(other) and one.model_dump(warnings=False) == other.model_dump(warnings=False)


def _checked(message: object, row: Row | StoredMessage) -> BaseMessage:
    if not isinstance(message, BaseMessage):
        raise _corrupt(row)
    return message


def _corrupt(row: Row | StoredMessage) -> CorruptStateError:
    return CorruptStateError(f"Stored message {row.message_id!r} is not what was written; it was not used.")
