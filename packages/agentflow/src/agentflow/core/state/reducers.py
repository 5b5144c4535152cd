"""How a node's update is merged into a field: `Annotated[type, reducer]`.

A reducer takes the field's value and the update and returns the new value. It must not change
its arguments, and when nodes run in parallel it is applied in the order the nodes were added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentflow.core.state.message import Message


@dataclass(frozen=True, slots=True)
class RemoveMessage:
    """In an update of `context`: take the message with this id out; a missing id is no error."""

    message_id: str


ContextUpdate = Message | RemoveMessage | Iterable[Message | RemoveMessage]


def add_messages(current: list[Message], update: ContextUpdate) -> list[Message]:
    """Append messages; one whose id the context already holds replaces it in place.

    Cost: O(len(update)) for new messages, one pass over the context when ids repeat or are removed.
    """
    items = [update] if isinstance(update, Message | RemoveMessage) else list(update)
    position = {message.message_id: i for i, message in enumerate(current)}
    merged: list[Message | None] = list(current)
    for item in items:
        at = position.get(item.message_id)
        if isinstance(item, RemoveMessage):
            if at is not None:
                merged[at] = None
                del position[item.message_id]
        elif at is None:
            position[item.message_id] = len(merged)
            merged.append(item)
        else:
            merged[at] = item
    return [message for message in merged if message is not None]


def replace_messages(_current: list[Message], update: Iterable[Message]) -> list[Message]:
    """The update becomes the whole context."""
    return list(update)


def append_items(current: list[Any], update: Iterable[Any]) -> list[Any]:
    """Append every item of the update."""
    return [*current, *update]


def merge_dict(current: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Shallow merge; the update's keys win."""
    return {**current, **update}


def replace_value(_current: Any, update: Any) -> Any:
    """The update wins: what a field without a reducer does."""
    return update
