"""Constants, commands and reducers that graphs are written with."""

from agentflow.core.state.reducers import add_messages, append_items, replace_messages, replace_value
from agentflow.utils.command import Command
from agentflow.utils.constants import END, START, ResponseGranularity
from agentflow.utils.interrupt import interrupt

__all__ = [
    "END",
    "START",
    "Command",
    "ResponseGranularity",
    "add_messages",
    "append_items",
    "interrupt",
    "replace_messages",
    "replace_value",
]
