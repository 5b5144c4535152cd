"""Building a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, overload

from agentflow.core.graph.agent import Agent
from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.compiled_graph import CompiledGraph
from agentflow.core.graph.node import Node
from agentflow.core.graph.topology import Branch, Topology
from agentflow.core.graph.updates import reducers_of
from agentflow.core.state.agent_state import AgentState
from agentflow.errors import GraphDefinitionError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.memory import InMemoryCheckpointer
from agentflow.utils.constants import END, START


class StateGraph[S: AgentState]:
    """A graph of nodes that work on one state.

    Nodes that follow one node run side by side on the same state, and their updates merge in
    the order in which the nodes were added. A node reached by several of them runs once.

    Example:
        graph = StateGraph()
        graph.add_node("MAIN", answer)
        graph.set_entry_point("MAIN")
        graph.add_edge("MAIN", END)
        app = graph.compile(checkpointer=checkpointer)
    """

    @overload
    def __init__(self: StateGraph[AgentState], state: None = None) -> None: ...
    @overload
    def __init__(self, state: S | type[S]) -> None: ...
    def __init__(self, state: Any = None) -> None:
        """Start an empty graph.

        Args:
            state: The state class, or an instance a new thread starts from; `AgentState` if left out.
        """
        self._template: S = _template(state)
        self._topology = Topology()

    def add_node(self, name: str | Callable[..., Any], function: Callable[..., Any] | None = None) -> Self:
        """Add a node: a function of `(state, config)` or `(state)`, async or blocking.

        It returns message(s), text, a partial dict merged by each field's reducer, a `Command`,
        the changed state, or None. A blocking function runs in a thread. What it is given is its own
        copy: only what it returns counts.

        Args:
            name: Its name; may be left out, then the function's own name is taken.
            function: The function, an `Agent` or a `ToolNode`.

        Raises:
            GraphDefinitionError: The name is taken or not allowed, or the function takes something else.
        """
        if callable(name):
            function = name
            name = str(getattr(function, "__name__", type(function).__name__))
        if not name.strip() or name in (START, END) or "," in name or "\0" in name:
            raise GraphDefinitionError(
                f"A node cannot be named {name!r}: give it non-blank text without commas."
            )
        if name in self._topology.nodes:
            raise GraphDefinitionError(f"There is a node {name!r} already: names are unique in a graph.")
        self._topology.nodes[name] = Node(name, function)
        return self

    def add_edge(self, source: str, target: str) -> Self:
        """After `source` comes `target` (a node or END). Several edges from one node fan out."""
        if source == END:
            raise GraphDefinitionError("No edge can start at END.")
        if target == START:
            raise GraphDefinitionError("No edge can lead to START.")
        targets = self._topology.edges.setdefault(source, [])
        if target not in targets:
            targets.append(target)
        return self

    def add_conditional_edges(
        self,
        source: str,
        router: Callable[..., Any],
        path_map: Mapping[Any, str] | Sequence[str] | None = None,
    ) -> Self:
        """After `source`, ask `router(state)` where to go.

        Args:
            source: A node, or START for a conditional entry.
            router: Answers one name or a list of names to fan out to. It sees the merged state and
                must be quick.
            path_map: What the router may answer -> node, or the list of nodes; None lets it name any node.
        """
        if not callable(router):
            raise GraphDefinitionError(f"The router after {source!r} must be a function of the state.")
        targets = path_map
        if targets is not None and not isinstance(targets, Mapping):
            targets = {name: name for name in targets}
        self._topology.branches.setdefault(source, []).append(Branch(router, targets))
        return self

    def set_entry_point(self, name: str) -> Self:
        """Begin at this node; the same as an edge from START."""
        return self.add_edge(START, name)

    def set_finish_point(self, name: str) -> Self:
        """End after this node; the same as an edge to END."""
        return self.add_edge(name, END)

    def compile(
        self,
        checkpointer: BaseCheckpointer | None = None,
        *,
        interrupt_before: Sequence[str] = (),
        interrupt_after: Sequence[str] = (),
        name: str | None = None,
    ) -> CompiledGraph[S]:
        """Check the graph and make it runnable.

        Args:
            checkpointer: Where threads live. None keeps them in this process's memory, for this
                graph alone.
            interrupt_before: Nodes before which a run pauses until it is invoked again.
            interrupt_after: Nodes after which a run pauses.
            name: What telemetry calls the agent: one of few, since it names spans.

        Raises:
            GraphDefinitionError: An edge names an unknown node, there is no entry point, a breakpoint
                is no node, or an agent's tool node is none.
        """
        if checkpointer is not None and not isinstance(checkpointer, BaseCheckpointer):
            raise GraphDefinitionError(
                "checkpointer must be a BaseCheckpointer such as PgCheckpointer, "
                f"not {type(checkpointer).__name__}."
            )
        topology = Topology(
            nodes=_in_graph(self._topology.nodes),
            edges={source: list(targets) for source, targets in self._topology.edges.items()},
            branches={source: list(branches) for source, branches in self._topology.branches.items()},
        )
        topology.check()
        topology.check_names(interrupt_before, "interrupt_before")
        topology.check_names(interrupt_after, "interrupt_after")
        blueprint = Blueprint(
            topology=topology,
            template=self._template.model_copy(deep=True),
            reducers=reducers_of(type(self._template)),
            interrupt_before=frozenset(interrupt_before),
            interrupt_after=frozenset(interrupt_after),
            name=name,
        )
        return CompiledGraph(blueprint, InMemoryCheckpointer() if checkpointer is None else checkpointer)


def _in_graph(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes, with agents that know their tool node only by name given that node."""
    functions = {name: node.function for name, node in nodes.items()}
    return {
        name: Node(name, node.function.in_graph(functions)) if isinstance(node.function, Agent) else node
        for name, node in nodes.items()
    }


def _template(state: Any) -> Any:
    if state is None:
        return AgentState()
    if isinstance(state, AgentState):
        return state
    if isinstance(state, type) and issubclass(state, AgentState):
        try:
            return state()
        except ValueError as error:
            raise GraphDefinitionError(
                f"Every field of {state.__name__} needs a default: a new thread starts without any."
            ) from error
    raise GraphDefinitionError(f"A graph's state must be an AgentState, not {state!r}.")
