"""The state of a conversation; subclass it to add fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agentflow.core.state.execution import ExecutionState
from agentflow.core.state.message import Message
from agentflow.core.state.reducers import add_messages


class AgentState(BaseModel):
    """What a graph works on: the message context, a summary, progress, and your own fields.

    A subclass adds fields with defaults; `Annotated[type, reducer]` says how updates merge
    (`replace_value` if nothing is said). Fields must be JSON-representable data: what is stored
    is what `model_dump(mode="json")` gives, and reading validates it back.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    context: Annotated[list[Message], add_messages] = Field(default_factory=list)
    context_summary: str | None = None
    execution_meta: ExecutionState = Field(default_factory=ExecutionState)
