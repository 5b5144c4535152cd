"""What a run is asked for."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, TypeAdapter, field_validator

from agentflow.core.state import Message
from agentflow.utils import ResponseGranularity

# Of a client's config: who it is for is the credential's business, and what starts with _ the runtime's.
# Timeouts are the operator's, who pays for what a client could lift.
_NOT_FOR_CLIENTS = frozenset(
    {"user", "user_id", "authz", "remote_tools", "scope", "lock_wait", "recursion_limit", "token_budget"}
    | {"node_timeout", "tool_timeout"}
)

_MESSAGE_FIELDS = ("context", "messages")
_MESSAGES = TypeAdapter(list[Message])


class InvokeRequest(BaseModel):
    """Body of `POST /v1/graph/invoke`."""

    messages: list[Message] = Field(default_factory=list)
    initial_state: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    recursion_limit: Annotated[StrictInt, Field(ge=1, le=100)] = 25
    response_granularity: ResponseGranularity = ResponseGranularity.FULL
    resume: Any = None

    @field_validator("initial_state")
    @classmethod
    def _with_whole_messages(cls, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """Messages in a state are read like those beside it, so that the same rules hold for them."""
        if state is None:
            return None
        return {
            name: _MESSAGES.validate_python(value) if name in _MESSAGE_FIELDS and value is not None else value
            for name, value in state.items()
        }

    def every_message(self) -> Iterator[Message]:
        """Those of `messages`, then those inside `initial_state`."""
        yield from self.messages
        for name in _MESSAGE_FIELDS:
            yield from (self.initial_state or {}).get(name) or ()

    def open_config(self) -> dict[str, Any]:
        """The client's config without what it may not set."""
        return {
            key: value
            for key, value in (self.config or {}).items()
            if key not in _NOT_FOR_CLIENTS and not key.startswith("_")
        }
