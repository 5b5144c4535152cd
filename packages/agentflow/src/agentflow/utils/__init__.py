"""Constants, commands and reducers that graphs are written with."""

from agentflow.core.state.reducers import add_messages, append_items, replace_messages, replace_value
from agentflow.utils.command import Command
from agentflow.utils.constants import END, START, ResponseGranularity
from agentflow.utils.interrupt import interrupt
from agentflow.utils.tool_call import ToolCall, current_tool_call

__all__ = [
    "END",
    "START",
    "Command",
    "ResponseGranularity",
    "ToolCall",
    "add_messages",
    "append_items",
    "current_tool_call",
    "interrupt",
    "replace_messages",
    "replace_value",
]
