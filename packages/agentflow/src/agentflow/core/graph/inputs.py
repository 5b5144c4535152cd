"""What a run is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentflow.core.graph.updates import BadUpdateError, checked_fields
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.message import Message
from agentflow.errors import EmptyInputError, InvalidInputError

_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class RunInput:
    """An input, read and checked.

    Attributes:
        updates: Field -> update; `context` holds the messages.
        resume: The answer to a pause; see `resumes`.
        resumes: Whether the caller gave a `resume` or `resume_id` key at all (None is an answer too).
        resume_id: The interrupt that `resume` is for.
    """

    updates: dict[str, Any] = field(default_factory=dict)
    resume: Any = None
    resumes: bool = False
    resume_id: str | None = None

    @property
    def messages(self) -> list[Message]:
        """The messages the caller sent."""
        return [item for item in self.updates.get("context", ()) if isinstance(item, Message)]


def run_input(given: Mapping[str, Any] | None, state_type: type[AgentState]) -> RunInput:
    """Read a caller's input: `messages`, `resume`, `resume_id`, `state` (a partial dict), or fields by name.

    None and {} mean: go on with what an earlier run left unfinished.

    Raises:
        EmptyInputError: `messages` is an empty list and nothing is resumed.
        InvalidInputError: A key is no field, or a message is not one.
    """
    values = dict(given or {})
    resume_id = _resume_id(values.pop("resume_id", None))
    resume = values.pop("resume", _ABSENT if resume_id is None else None)
    state = values.pop("state", None) or {}
    if not isinstance(state, Mapping):
        raise InvalidInputError("input['state'] must be a dict of state fields.")
    if "messages" in values and not values["messages"]:
        del values["messages"]
        if resume is _ABSENT:
            raise EmptyInputError(
                "The input has no messages: pass {'messages': [Message.text_message('...')]}, "
                "{'resume': value} to answer an interrupt, or None to go on with an unfinished run."
            )
    if "messages" in values:
        values["messages"] = _spoken_by_user(values["messages"])
    try:
        updates = checked_fields({**state, **values}, state_type)
    except BadUpdateError as error:
        raise InvalidInputError(f"The input holds {error}") from error
    if resume is _ABSENT:
        return RunInput(updates)
    return RunInput(updates, resume, resumes=True, resume_id=resume_id)


def _resume_id(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise InvalidInputError("input['resume_id'] must be the id of the interrupt that 'resume' is for.")


def _spoken_by_user(messages: Any) -> Any:
    """Text in an input is what the user says; a node's text is the assistant's."""
    if isinstance(messages, str):
        return Message.text_message(messages)
    if isinstance(messages, list | tuple):
        return [Message.text_message(item) if isinstance(item, str) else item for item in messages]
    return messages
