"""LangGraph graphs on the library's own tables: `AgentFlowSaver` is a full LangGraph checkpointer."""

from __future__ import annotations

try:
    from agentflow.integrations.langgraph.saver import AgentFlowSaver
except ModuleNotFoundError as error:
    raise ImportError(
        f"AgentFlowSaver needs the module {error.name!r}: "
        'pip install "agentflow[postgres,langgraph]" brings it.'
    ) from error

__all__ = ["AgentFlowSaver"]
