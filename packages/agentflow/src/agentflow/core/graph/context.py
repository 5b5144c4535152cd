"""What code inside a node may know of the run around it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from agentflow.core.graph.emitter import Emitter
from agentflow.core.graph.tool_ledger import NodeTools


@dataclass(frozen=True, slots=True)
class NodeContext:
    """The node that is running.

    Attributes:
        node: Its name.
        emitter: Where pieces of an answer go while it is being made.
        tool_timeout_s: Longest time a tool may take; None for no limit.
        tools: Its page of the tool ledger.
    """

    node: str
    emitter: Emitter
    tool_timeout_s: float | None
    tools: NodeTools


node_context: ContextVar[NodeContext | None] = ContextVar("agentflow_node_context", default=None)
