"""What a run is asked for."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt

from agentflow.core.state import Message
from agentflow.utils import ResponseGranularity

# Of a client's config: who it is for is the credential's business, and what starts with _ the runtime's.
_NOT_FOR_CLIENTS = frozenset(
    {"user", "user_id", "authz", "remote_tools", "scope", "lock_wait", "recursion_limit"}
)


class InvokeRequest(BaseModel):
    """Body of `POST /v1/graph/invoke`."""

    messages: list[Message] = Field(default_factory=list)
    initial_state: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    recursion_limit: Annotated[StrictInt, Field(ge=1, le=100)] = 25
    response_granularity: ResponseGranularity = ResponseGranularity.FULL
    resume: Any = None

    def open_config(self) -> dict[str, Any]:
        """The client's config without what it may not set."""
        return {
            key: value
            for key, value in (self.config or {}).items()
            if key not in _NOT_FOR_CLIENTS and not key.startswith("_")
        }
