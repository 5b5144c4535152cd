"""Which agents this deployment hosts: names from configuration, graphs from modules."""

import asyncio
import importlib
import re
from collections.abc import Mapping
from typing import Any, Final

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.storage.checkpointer import BaseCheckpointer

DEMO_AGENTS: Final = {
    name: f"agentflow_hosting.agents.{name}:graph" for name in ("memory", "echo", "tools", "assistant")
}

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_TARGET: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)


class UnknownAgentError(LookupError):
    """No agent of that name for this tenant."""

    code = "AGENT_NOT_FOUND"


def parse_agents(text: str) -> dict[str, str]:
    """Read `name=module:attribute, ...`.

    Raises:
        ValueError: An entry is not of that form, or a name stands twice.
    """
    agents: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, target = entry.partition("=")
        if not _NAME.fullmatch(name) or not _TARGET.fullmatch(target) or name in agents:
            raise ValueError(f"{entry!r} is not a new name=module:attribute.")
        agents[name] = target
    return agents


class AgentRegistry:
    """The hosted graphs, each compiled with the service's own checkpointer."""

    def __init__(self, targets: Mapping[str, str], checkpointer: BaseCheckpointer) -> None:
        """Import and compile every agent, so that a broken one stops the start and not a request.

        Raises:
            ImportError, AttributeError, TypeError: A target is not a StateGraph that can be imported.
        """
        self._graphs = {
            name: _load(target).compile(checkpointer, name=name) for name, target in targets.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """What there is to find."""
        return tuple(self._graphs)

    def find(self, name: str, allowed: tuple[str, ...] | None) -> CompiledGraph[Any]:
        """The agent of that name.

        Raises:
            UnknownAgentError: There is none, or the tenant may not use it: which one is not said.
        """
        if name not in self._graphs or (allowed is not None and name not in allowed):
            raise UnknownAgentError(f"There is no agent {name!r}.")
        return self._graphs[name]

    async def adrain(self) -> None:
        """Let running runs reach their next boundary; the checkpointer they share stays open."""
        await asyncio.gather(*(graph.adrain() for graph in self._graphs.values()))


def _load(target: str) -> StateGraph[Any]:
    module, _, attribute = target.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    graph = found() if not isinstance(found, StateGraph) and callable(found) else found
    if not isinstance(graph, StateGraph):
        raise TypeError(f"{target} must be a StateGraph, or a function that makes one.")
    return graph
