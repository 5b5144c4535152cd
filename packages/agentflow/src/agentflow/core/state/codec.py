"""Between a live state and the plain data that is stored.

Data only: JSON out, JSON in, validated by the state's own types. Nothing stored is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.blocks import ContentBlock, TextBlock
from agentflow.core.state.message import Message
from agentflow.errors import CorruptStateError
from agentflow.storage.checkpointer.delta import Fields, Json
from agentflow.storage.checkpointer.types import BLOCKS, PLAIN_TEXT, StoredMessage
from agentflow.utils.jsontext import json_text, unencodable

# Attributes of a message that have a column of their own.
_COLUMNS: Final = {"message_id", "role", "content", "timestamp"}


def encode_fields(state: AgentState) -> Fields:
    """Every field but the context, as JSON data.

    Raises:
        StateEncodingError: A field holds something that is not data; `.field` names it.
    """
    try:
        return state.model_dump(mode="json", exclude={"context"}, warnings="none")
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise unencodable(_culprit(state), error) from error


def decode_state[S: AgentState](state_type: type[S], fields: Fields, context: Sequence[Message]) -> S:
    """The live state of stored fields.

    Raises:
        CorruptStateError: The data does not fit the state's types.
    """
    known = {name: value for name, value in fields.items() if not name.startswith("$")}
    try:
        state = state_type.model_validate(known)
    except ValidationError as error:
        raise CorruptStateError(
            f"The stored state does not fit {state_type.__name__} ({_where(error)}). "
            "Give fields that were added or changed a default or a validator that accepts the old data."
        ) from error
    state.context = list(context)
    return state


def encode_message(message: Message, pos: int) -> StoredMessage:
    """A message as a row at position `pos`.

    Raises:
        StateEncodingError: It holds something that is not data.
    """
    kind, content = _encode_content(message.content)
    extra = _dump(message, exclude=_COLUMNS)
    return StoredMessage(
        pos=pos,
        message_id=message.message_id,
        role=message.role,
        content_kind=kind,
        content=content,
        extra=json_text(extra, field="context") if extra else None,
        sent_at=message.timestamp,
    )


def decode_message(row: StoredMessage) -> Message:
    """The message of a stored row.

    Raises:
        CorruptStateError: The row is not what `encode_message` makes.
    """
    try:
        content: Json = (
            [TextBlock(text=row.content)] if row.content_kind == PLAIN_TEXT else json.loads(row.content)
        )
        extra: dict[str, Any] = json.loads(row.extra) if row.extra else {}
        return Message(
            **{
                **extra,
                "message_id": row.message_id,
                "role": row.role,
                "content": content,
                "timestamp": row.sent_at,
            }
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptStateError(
            f"Stored message {row.message_id!r} cannot be read: {type(error).__name__}."
        ) from error


def _encode_content(content: Sequence[ContentBlock]) -> tuple[int, str]:
    if len(content) == 1:
        block = content[0]
        # A NUL cannot be stored as text; JSON escapes it.
        if isinstance(block, TextBlock) and _is_plain(block) and "\0" not in block.text:
            return PLAIN_TEXT, block.text
    blocks = [{"type": block.type, **_dump(block)} for block in content]
    return BLOCKS, json_text(blocks, field="context")


def _is_plain(block: TextBlock) -> bool:
    return not block.annotations and not block.model_extra


def _dump(value: Message | ContentBlock, exclude: set[str] | None = None) -> dict[str, Any]:
    try:
        return value.model_dump(mode="json", exclude_defaults=True, exclude=exclude, warnings="none")
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise unencodable("context", error) from error


def _culprit(state: AgentState) -> str:
    """The first field that does not encode by itself."""
    for name in type(state).model_fields:
        try:
            state.model_dump(mode="json", include={name}, warnings="none")
        except (PydanticSerializationError, ValueError, TypeError, RecursionError):
            return name
    return "state"


def _where(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
