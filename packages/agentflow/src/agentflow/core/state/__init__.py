"""State, messages and how updates merge into them."""

from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.blocks import (
    AnnotationBlock,
    AnnotationRef,
    AudioBlock,
    ContentBlock,
    DataBlock,
    DocumentBlock,
    ErrorBlock,
    ImageBlock,
    MediaRef,
    ReasoningBlock,
    RemoteToolCallBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    VideoBlock,
)
from agentflow.core.state.execution import ExecutionState, ExecutionStatus, StopRequestStatus
from agentflow.core.state.message import Message, Role, TokenUsages
from agentflow.core.state.reducers import (
    RemoveMessage,
    add_messages,
    append_items,
    merge_dict,
    replace_messages,
    replace_value,
)
from agentflow.core.state.token_counts import TokenCounter, estimate_tokens, reported_tokens, tokens_by
from agentflow.core.state.trimming import Trimmer, trim_messages

__all__ = [
    "AgentState",
    "AnnotationBlock",
    "AnnotationRef",
    "AudioBlock",
    "ContentBlock",
    "DataBlock",
    "DocumentBlock",
    "ErrorBlock",
    "ExecutionState",
    "ExecutionStatus",
    "ImageBlock",
    "MediaRef",
    "Message",
    "ReasoningBlock",
    "RemoteToolCallBlock",
    "RemoveMessage",
    "Role",
    "StopRequestStatus",
    "TextBlock",
    "TokenCounter",
    "TokenUsages",
    "ToolCallBlock",
    "ToolResultBlock",
    "Trimmer",
    "VideoBlock",
    "add_messages",
    "append_items",
    "estimate_tokens",
    "merge_dict",
    "replace_messages",
    "replace_value",
    "reported_tokens",
    "tokens_by",
    "trim_messages",
]
