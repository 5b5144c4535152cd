"""The wiring of a graph: which nodes follow which."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentflow.core.graph.node import Node
from agentflow.errors import GraphDefinitionError, NodeResultError
from agentflow.utils.constants import END, START

Router = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Branch:
    """A conditional edge: `router(state)` names what comes next.

    Attributes:
        targets: What the router may answer -> node; None when it answers node names directly.
    """

    router: Router
    targets: Mapping[Any, str] | None


@dataclass(slots=True)
class Topology:
    """Nodes and edges, in the order they were added; that order is the order of merges."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[str, list[str]] = field(default_factory=dict)
    branches: dict[str, list[Branch]] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse a graph that cannot run.

        Raises:
            GraphDefinitionError: It says which edge or node is wrong and what to add.
        """
        if not self.nodes:
            raise GraphDefinitionError("The graph has no node: add one with add_node(name, function).")
        for source, target in self.drawn_edges():
            if source != START and source not in self.nodes:
                raise GraphDefinitionError(self._unknown(source, f"an edge to {target!r} starts at"))
            if target != END and target not in self.nodes:
                raise GraphDefinitionError(self._unknown(target, f"an edge from {source!r} leads to"))
        if not self.edges.get(START) and not self.branches.get(START):
            raise GraphDefinitionError(
                f"The graph has no entry point: call set_entry_point({next(iter(self.nodes))!r}) "
                "or add an edge from START."
            )

    def check_names(self, names: Iterable[str], purpose: str) -> None:
        """Refuse names that are no nodes, as in `interrupt_before`."""
        for name in names:
            if name not in self.nodes:
                raise GraphDefinitionError(self._unknown(name, f"{purpose} names"))

    def drawn_edges(self) -> list[tuple[str, str]]:
        """Every edge as (source, target); a conditional one as all targets it declares."""
        drawn = [(source, target) for source, targets in self.edges.items() for target in targets]
        for source, branches in self.branches.items():
            for branch in branches:
                drawn += [(source, target) for target in dict.fromkeys((branch.targets or {}).values())]
        return list(dict.fromkeys(drawn))

    async def after(self, finished: Sequence[str], state: Any) -> list[str]:
        """The nodes that follow `finished`, each once, in the order the nodes were added.

        Raises:
            NodeResultError: A router named something that is no node.
        """
        found: set[str] = set()
        for node in finished:
            found.update(self.edges.get(node, ()))
            for branch in self.branches.get(node, ()):
                found.update(await self._route(node, branch, state))
        return self.ordered(found)

    def ordered(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that are nodes, each once, in the order the nodes were added."""
        wanted = set(names)
        return [node for node in self.nodes if node in wanted]

    def goto(self, node: str, target: str | list[str]) -> list[str]:
        """The nodes a `Command(goto=...)` of `node` leads to.

        Raises:
            NodeResultError: A target is no node.
        """
        targets = [target] if isinstance(target, str) else list(target)
        for name in targets:
            if name != END and name not in self.nodes:
                raise NodeResultError(
                    f"Node {node!r} wants to go to {name!r}, which is no node of this graph. "
                    f"Known: {', '.join(self.nodes)} and END.",
                    node=node,
                )
        return targets

    async def _route(self, node: str, branch: Branch, state: Any) -> list[str]:
        answer = branch.router(state)
        if inspect.isawaitable(answer):
            answer = await answer
        answers = answer if isinstance(answer, list | tuple) else [answer]
        if branch.targets is None:
            return self.goto(node, [str(item) for item in answers])
        return [self._target(node, branch.targets, item) for item in answers]

    def _target(self, node: str, targets: Mapping[Any, str], answer: Any) -> str:
        if answer not in targets:
            raise NodeResultError(
                f"The router after {node!r} answered {answer!r}, which its path map does not hold. "
                f"Known: {', '.join(map(repr, targets))}.",
                node=node,
            )
        return targets[answer]

    def _unknown(self, name: str, where: str) -> str:
        known = ", ".join(self.nodes) or "none yet"
        return f"Unknown node: {where} {name!r}. Add it with add_node({name!r}, ...) first; known: {known}."
