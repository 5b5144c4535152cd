"""A compiled graph's fixed parts: everything a run needs that is not of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentflow.core.graph.topology import Topology
from agentflow.core.graph.updates import Reducer
from agentflow.core.state.agent_state import AgentState


@dataclass(frozen=True, slots=True)
class Blueprint[S: AgentState]:
    """What `compile` makes of a graph.

    Attributes:
        template: The state a new thread starts from.
        name: What telemetry calls it.
    """

    topology: Topology
    template: S
    reducers: Mapping[str, Reducer]
    interrupt_before: frozenset[str]
    interrupt_after: frozenset[str]
    name: str | None = None

    @property
    def state_type(self) -> type[S]:
        """The class of the graph's state."""
        return type(self.template)
