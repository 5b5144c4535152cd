"""What is asked of a thread's past."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, field_validator

from agentflow_hosting.invoke_request import whole_messages

MAX_VERSION: Final = 2**31 - 2


class ForkRequest(BaseModel):
    """Body of `POST /v1/threads/{thread_id}/fork`. Without `to_thread` the fork is made in place."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: Annotated[StrictInt, Field(ge=1, le=MAX_VERSION)]
    to_thread: str | None = None
    values: dict[str, Any] | None = None

    _with_whole_messages = field_validator("values")(whole_messages)


class CopyRequest(BaseModel):
    """Body of `POST /v1/threads/{thread_id}/copy`; may be empty. Without `to_thread` it gets a new id."""

    model_config = ConfigDict(extra="forbid")

    to_thread: str | None = None
    with_history: StrictBool = True
