"""Tools that run at a tenant's clients: registered once, known to each of its runs."""

from __future__ import annotations

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.core.graph import CompiledGraph, ToolNode
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_hosting.queries import QUERIES

MOST_TOOLS: Final = 128
_REMEMBER_S: Final = 1.0
_MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """One tool.

    Attributes:
        node: The tool node that hands its calls to the client.
        parameters: JSON schema of its arguments.
    """

    node: str
    name: str
    description: str
    parameters: Mapping[str, Any]


class TooManyToolsError(ValueError):
    """A tenant would have more tools for an agent than are kept."""


class RemoteTools:
    """Tools of tenants, in Postgres; remembered for a second, so that runs need not ask for them each time.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine
        self._known: OrderedDict[tuple[uuid.UUID, str], tuple[float, list[RemoteTool]]] = OrderedDict()

    async def put(self, tenant_id: uuid.UUID, agent: str, tools: Sequence[RemoteTool]) -> None:
        """Register tools; one of the same node and name takes the place of what was there.

        Raises:
            TooManyToolsError: There would be more than `MOST_TOOLS` for this agent; none was registered.
        """
        if not tools:
            return
        values = {
            "tenant_id": tenant_id,
            "agent": agent,
            "nodes": [tool.node for tool in tools],
            "names": [tool.name for tool in tools],
            "descriptions": [tool.description for tool in tools],
            "parameters": [json.dumps(tool.parameters) for tool in tools],
            "most": MOST_TOOLS,
        }
        if not await self._rows("put_remote_tools", tenant_id, values):
            raise TooManyToolsError(f"At most {MOST_TOOLS} remote tools are kept for an agent.")
        self._known.pop((tenant_id, agent), None)

    async def of(
        self, tenant_id: uuid.UUID, agent: str, *, within_s: float = _REMEMBER_S
    ) -> list[RemoteTool]:
        """A tenant's tools for an agent, as they were at most so long ago."""
        key = (tenant_id, agent)
        known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < within_s:
            return known[1]
        asked_at = time.monotonic()
        rows = await self._rows("remote_tools", tenant_id, {"tenant_id": tenant_id, "agent": agent})
        tools = [
            RemoteTool(row["node"], row["name"], row["description"], json.loads(row["parameters"]))
            for row in rows
        ]
        self._known[key] = (asked_at, tools)
        self._known.move_to_end(key)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
        return tools

    async def for_run(
        self, graph: CompiledGraph[Any], tenant_id: uuid.UUID, agent: str
    ) -> dict[str, list[dict[str, Any]]]:
        """What a run's config is given; no round trip for a graph without tool nodes, or within a second."""
        if not any(isinstance(node.function, ToolNode) for node in graph.blueprint.topology.nodes.values()):
            return {}
        return by_node(await self.of(tenant_id, agent))

    async def _rows(self, name: str, tenant_id: uuid.UUID, values: Mapping[str, Any]) -> Sequence[RowMapping]:
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(QUERIES["show_tenant"], {"shown": f"{{{tenant_id}}}"})
                return (await connection.execute(QUERIES[name], values)).mappings().all()


def by_node(tools: Sequence[RemoteTool]) -> dict[str, list[dict[str, Any]]]:
    """As `config["remote_tools"]` takes them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for tool in tools:
        described = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
        found.setdefault(tool.node, []).append(described)
    return found
