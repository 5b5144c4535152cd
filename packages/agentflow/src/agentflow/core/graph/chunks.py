"""What a stream yields."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.message import Message


class StreamEvent(StrEnum):
    """What a chunk carries."""

    MESSAGE = "message"
    UPDATES = "updates"
    STATE = "state"
    ERROR = "error"


class StreamChunk(BaseModel):
    """One piece of a run as it happens.

    A message chunk with `delta` is a piece of an answer still being made; the whole message
    follows with `delta` false, after it is durable. `seq` counts the run's chunks from 0 without gaps.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    event: StreamEvent
    message: Message | None = None
    state: SerializeAsAny[AgentState] | None = None
    data: dict[str, Any] | None = None
    thread_id: str
    run_id: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    timestamp: float = Field(default_factory=time.time)
    seq: int = 0
