"""What a run of a hosted agent is asked for, by a client or from its record."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, TypeAdapter, field_validator

from agentflow.core.state import Message
from agentflow.utils import ResponseGranularity

# Of a client's config: who it is for is the credential's business, and what starts with _ the runtime's.
# Timeouts are the operator's, who pays for what a client could lift.
_NOT_FOR_CLIENTS = frozenset(
    {"user", "user_id", "authz", "remote_tools", "scope", "lock_wait", "recursion_limit", "token_budget"}
    | {"node_timeout", "tool_timeout", "rejoin_since", "tenant_id", "run_id"}
)

_MESSAGE_FIELDS = ("context", "messages")
_MESSAGES = TypeAdapter(list[Message])


def whole_messages(state: dict[str, Any] | None) -> dict[str, Any] | None:
    """Messages in a state are read like those beside it, so that the same rules hold for them."""
    if state is None:
        return None
    return {
        name: _MESSAGES.validate_python(value) if name in _MESSAGE_FIELDS and value is not None else value
        for name, value in state.items()
    }


def with_messages(state: dict[str, Any], wanted: Callable[[Message], bool]) -> dict[str, Any]:
    """A state that was read so, with those of its messages that are wanted."""
    return {
        name: list(filter(wanted, value)) if name in _MESSAGE_FIELDS and value is not None else value
        for name, value in state.items()
    }


def messages_in(state: dict[str, Any] | None) -> Iterator[Message]:
    """Those inside a state that was read so."""
    for name in _MESSAGE_FIELDS:
        yield from (state or {}).get(name) or ()


class InvokeRequest(BaseModel):
    """Body of `POST /v1/graph/invoke`, and of every route that runs an agent."""

    messages: list[Message] = Field(default_factory=list)
    initial_state: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    recursion_limit: Annotated[StrictInt, Field(ge=1, le=100)] = 25
    response_granularity: ResponseGranularity = ResponseGranularity.FULL
    resume: Any = None
    resume_id: Annotated[str, Field(min_length=1)] | None = None

    _with_whole_messages = field_validator("initial_state")(whole_messages)

    def every_message(self) -> Iterator[Message]:
        """Those of `messages`, then those inside `initial_state`."""
        yield from self.messages
        yield from messages_in(self.initial_state)

    def open_config(self) -> dict[str, Any]:
        """The client's config without what it may not set."""
        return {
            key: value
            for key, value in (self.config or {}).items()
            if key not in _NOT_FOR_CLIENTS and not key.startswith("_")
        }

    @property
    def resumes(self) -> bool:
        """Whether it answers an interrupt; null is an answer too."""
        return "resume" in self.model_fields_set or self.resume_id is not None

    @property
    def replays(self) -> bool:
        """Whether it goes on from an older version."""
        return (self.config or {}).get("checkpoint") is not None

    def given(self) -> dict[str, Any]:
        """What the graph is given."""
        given: dict[str, Any] = {"messages": self.messages} if self.messages else {}
        if self.initial_state:
            given["state"] = self.initial_state
        if self.resumes:
            given |= {"resume": self.resume, "resume_id": self.resume_id}
        return given

    def as_data(self) -> dict[str, Any]:
        """What a record keeps of it: nothing that a client may not set, messages with the ids they got."""
        data = self.model_dump(mode="json", exclude_unset=True, warnings="none")
        data["messages"] = [message.model_dump(mode="json", warnings="none") for message in self.messages]
        return data | {"config": self.open_config()}


class StreamRequest(InvokeRequest):
    """Body of `POST /v1/graph/stream`: less is told where nothing is said."""

    response_granularity: ResponseGranularity = ResponseGranularity.LOW

    def as_data(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return super().as_data() | {"response_granularity": self.response_granularity.value}
