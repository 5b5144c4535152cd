"""What is different between two states of a thread."""

from collections.abc import Mapping
from typing import Any

from agentflow_cloud.own.messages import message_line


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Messages that came, went or changed, then fields; null for what is not there.

    Args:
        before: A state as the service gives it; empty for none.
        after: The later one.
    """
    old, new = (
        {message["message_id"]: message for message in state.get("context", ())} for state in (before, after)
    )
    found = [
        _change(f"message {message_id}", _said(old, message_id), _said(new, message_id))
        for message_id in [*old, *(one for one in new if one not in old)]
        if old.get(message_id) != new.get(message_id)
    ]
    for name in [*before, *(one for one in after if one not in before)]:
        if name != "context" and before.get(name) != after.get(name):
            found += _parts(name, before.get(name), after.get(name))
    return found


def _parts(name: str, before: Any, after: Any) -> list[dict[str, Any]]:
    """A change of a mapping is told by its parts: the rest of it is as it was."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [_change(name, before, after)]
    keys = [*before, *(key for key in after if key not in before)]
    return [
        _change(f"{name}.{key}", before.get(key), after.get(key))
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _said(messages: Mapping[str, Any], message_id: str) -> str | None:
    if message_id not in messages:
        return None
    line = message_line(messages[message_id])
    return f"{line['role']}: {line['text']}"


def _change(what: str, before: Any, after: Any) -> dict[str, Any]:
    return {"what": what, "before": before, "after": after}
