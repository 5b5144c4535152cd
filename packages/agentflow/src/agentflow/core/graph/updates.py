"""What a node returned, and how it is merged into the state."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.codec import decode_message, encode_fields, encode_message
from agentflow.core.state.message import Message
from agentflow.core.state.reducers import RemoveMessage, add_messages
from agentflow.errors import InvalidInputError, StateEncodingError
from agentflow.storage.checkpointer.delta import Fields, Json, same
from agentflow.storage.checkpointer.types import StoredMessage
from agentflow.utils.command import Command
from agentflow.utils.jsontext import json_text

Reducer = Callable[[Any, Any], Any]


class BadUpdateError(InvalidInputError):
    """An update does not fit the state; whoever made it is named by the one who catches this."""


@dataclass(slots=True)
class Update:
    """A change to a state.

    Attributes:
        reduce: Field -> value for the field's reducer.
        assign: Field -> value that replaces the field's, past its reducer.
        goto: Where to go instead of along the edges.
        comes_back: The node is not through with its step; see `ComesBack`.
    """

    reduce: dict[str, Any] = field(default_factory=dict)
    assign: dict[str, Any] = field(default_factory=dict)
    goto: str | list[str] | None = None
    comes_back: bool = False


@dataclass(frozen=True, slots=True)
class ComesBack(Command):
    """A node's answer so far: it goes on in the next step with what it has begun, tools under their keys."""


def reducers_of(state_type: type[AgentState]) -> dict[str, Reducer]:
    """Field -> the reducer in its `Annotated`, for fields that have one."""
    found: dict[str, Reducer] = {}
    for name, info in state_type.model_fields.items():
        reducer = next(
            (item for item in info.metadata if callable(item) and not isinstance(item, type)), None
        )
        if reducer is not None:
            found[name] = reducer
    return found


def update_of(result: Any, state: AgentState, fields: Fields) -> Update:
    """Read what a node returned.

    Args:
        result: None, message(s), text, a partial dict, a whole state, or a Command around one of these.
        state: The state the node was given.
        fields: The encoded fields of that state.

    Raises:
        BadUpdateError: It is none of these, or names a field the state does not have.
    """
    if isinstance(result, Command):
        inner = update_of(result.update, state, fields)
        inner.goto = result.goto
        inner.comes_back = isinstance(result, ComesBack)
        return inner
    if result is None:
        return Update()
    if isinstance(result, AgentState):
        return _of_state(result, state, fields)
    if isinstance(result, Mapping):
        return Update(reduce=checked_fields(result, type(state)))
    return Update(reduce={"context": messages_of(result)})


def checked_fields(partial: Mapping[str, Any], state_type: type[AgentState]) -> dict[str, Any]:
    """A partial dict as field updates; `messages` means the context."""
    update: dict[str, Any] = {}
    for key, value in partial.items():
        name = "context" if key == "messages" else key
        if name not in state_type.model_fields or name == "execution_meta":
            known = ", ".join(field for field in state_type.model_fields if field != "execution_meta")
            raise BadUpdateError(
                f"an update of {key!r}, which is no field to update. Fields: messages, {known}."
            )
        update[name] = messages_of(value) if _holds_messages(name, value) else value
    return update


def messages_of(value: Any) -> list[Message | RemoveMessage]:
    """One message or several, as a list; text is an assistant's message."""
    items: Iterable[Any] = [value] if isinstance(value, str | Message | RemoveMessage | Mapping) else value
    if not isinstance(items, Iterable):
        raise BadUpdateError(
            f"a {type(value).__name__}. Return a Message, a list of them, a dict of fields, "
            "a Command, the state, or None."
        )
    return [_message(item) for item in items]


def merge[S: AgentState](state: S, updates: Sequence[Update], reducers: Mapping[str, Reducer]) -> S:
    """The state after the updates, applied in their order. `state` itself is not changed.

    Raises:
        BadUpdateError: A reducer refused, or the result does not fit the field's type.
    """
    merged = state.model_copy()
    for update in updates:
        for name, value in update.reduce.items():
            _assign(merged, name, _reduced(merged, name, value, reducers.get(name)))
        for name, value in update.assign.items():
            _assign(merged, name, value)
    return merged


def encode_update(update: Update) -> Json:
    """The stored form of an update that waits for its siblings."""
    context = update.reduce.get("context")
    data = {
        "context": None if context is None else [_encode_item(item) for item in context],
        "reduce": _jsonable({name: value for name, value in update.reduce.items() if name != "context"}),
        "assign": _jsonable({name: value for name, value in update.assign.items() if name != "context"}),
        "goto": update.goto,
        "again": update.comes_back or None,
    }
    if "context" in update.assign:
        data["whole"] = [_encode_item(item) for item in update.assign["context"]]
    return {key: value for key, value in data.items() if value is not None and value != {}}


def decode_update(data: Json) -> Update:
    """The update that `encode_update` stored."""
    update = Update(
        reduce=dict(data.get("reduce", {})),
        assign=dict(data.get("assign", {})),
        goto=data.get("goto"),
        comes_back=data.get("again", False),
    )
    if "context" in data:
        update.reduce["context"] = [_decode_item(item) for item in data["context"]]
    if "whole" in data:
        update.assign["context"] = [_decode_item(item) for item in data["whole"]]
    return update


def _of_state(result: AgentState, given: AgentState, fields: Fields) -> Update:
    """The fields in which a returned state differs from the one the node was given."""
    if not isinstance(result, type(given)):
        raise BadUpdateError(f"a {type(result).__name__}, but this graph's state is {type(given).__name__}.")
    update = Update()
    for name, value in encode_fields(result).items():
        if name != "execution_meta" and (name not in fields or not same(fields[name], value)):
            update.assign[name] = getattr(result, name)
    before, after = given.context, result.context
    if after[: len(before)] == before:
        if len(after) > len(before):
            update.reduce["context"] = after[len(before) :]
    else:
        update.assign["context"] = after
    return update


def _holds_messages(name: str, value: Any) -> bool:
    return name == "context" and value is not None


def _message(item: Any) -> Message | RemoveMessage:
    if isinstance(item, Message | RemoveMessage):
        return item
    if isinstance(item, str):
        return Message.text_message(item, role="assistant")
    if isinstance(item, Mapping):
        try:
            return Message.model_validate(dict(item))
        except ValidationError as error:
            raise BadUpdateError(f"a message that is not one: {_where(error)}.") from error
    raise BadUpdateError(
        f"a {type(item).__name__} where a message belongs. "
        "Return a Message, a list of them, a dict of fields, a Command, the state, or None."
    )


def _reduced(state: AgentState, name: str, value: Any, reducer: Reducer | None) -> Any:
    if reducer is None:
        return value
    try:
        return reducer(getattr(state, name), value)
    except Exception as error:  # a reducer is the user's code: an edge
        raise BadUpdateError(
            f"an update of {name!r} its reducer refused: {type(error).__name__}: {error}."
        ) from error


def _assign(state: AgentState, name: str, value: Any) -> None:
    if name == "context":
        state.context = [message for message in value if isinstance(message, Message)]
        return
    try:
        type(state).__pydantic_validator__.validate_assignment(state, name, value)
    except ValidationError as error:
        raise BadUpdateError(f"a value that does not fit the state: {_where(error)}.") from error


def _encode_item(item: Message | RemoveMessage) -> Json:
    if isinstance(item, RemoveMessage):
        return {"remove": item.message_id}
    row = encode_message(item, 0)
    return [row.message_id, row.role, row.content_kind, row.content, row.extra, row.sent_at]


def _decode_item(data: Json) -> Message | RemoveMessage:
    if isinstance(data, dict):
        return RemoveMessage(data["remove"])
    return decode_message(StoredMessage(0, *data))


def _jsonable(values: dict[str, Any]) -> Json:
    for name, value in values.items():
        try:
            values = {**values, name: to_jsonable_python(value, inf_nan_mode="constants")}
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise StateEncodingError(
                f"State field {name!r} cannot be stored: {error}.", field=name
            ) from error
    return json.loads(json_text(values, field="update"))


def _where(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


__all__ = [
    "BadUpdateError",
    "ComesBack",
    "Reducer",
    "Update",
    "add_messages",
    "checked_fields",
    "decode_update",
    "encode_update",
    "merge",
    "messages_of",
    "reducers_of",
    "update_of",
]
