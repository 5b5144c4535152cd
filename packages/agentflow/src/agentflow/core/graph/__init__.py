"""Graphs: building them, running them, and the ready-made nodes."""

from agentflow.core.graph.agent import Agent
from agentflow.core.graph.budget import Boundary, Budget, TokenBudget
from agentflow.core.graph.chunks import StreamChunk, StreamEvent
from agentflow.core.graph.compiled_graph import CompiledGraph
from agentflow.core.graph.importing import Imported
from agentflow.core.graph.state_graph import StateGraph
from agentflow.core.graph.summarizer import Summarizer
from agentflow.core.graph.tool_node import ToolNode
from agentflow.core.state.trimming import Trimmer

__all__ = [
    "Agent",
    "Boundary",
    "Budget",
    "CompiledGraph",
    "Imported",
    "StateGraph",
    "StreamChunk",
    "StreamEvent",
    "Summarizer",
    "TokenBudget",
    "ToolNode",
    "Trimmer",
]
