"""What a tool may know of the call it answers."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from agentflow.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The call that a tool answers.

    Attributes:
        key: The same whenever this call is run, after a crash, a resume or in another process, and never
            another call's: hand it to what the tool changes, to change it once.
        attempt: 1 the first time; more when an earlier try is not known to have finished.
        call_id: As the model gave it; models repeat them.
        name: Of the tool.
    """

    key: str
    attempt: int
    call_id: str
    name: str


tool_call: ContextVar[ToolCall | None] = ContextVar("agentflow_tool_call", default=None)


def current_tool_call() -> ToolCall:
    """The call that the tool running here answers.

    Raises:
        InvalidInputError: Called outside a tool.
    """
    found = tool_call.get()
    if found is None:
        raise InvalidInputError("current_tool_call() works only inside a tool that a ToolNode runs.")
    return found
