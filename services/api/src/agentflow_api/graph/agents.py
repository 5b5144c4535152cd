"""Which agent a request is for."""

from typing import Any

from litestar.connection import ASGIConnection

from agentflow.core.graph import CompiledGraph
from agentflow_api.http.agent_prefix import AGENT_KEY
from agentflow_api.wiring import Wiring
from agentflow_tenancy import Principal


def agent_name(connection: ASGIConnection[Any, Any, Any, Any], principal: Principal, wiring: Wiring) -> str:
    """The agent that the path names, or the tenant's default one.

    Raises:
        UnknownAgentError: There is none, or the tenant may not use it.
    """
    name = str(connection.scope.get(AGENT_KEY, principal.tenant.default_agent))
    wiring.agents.find(name, principal.tenant.agents)
    return name


def agent(
    connection: ASGIConnection[Any, Any, Any, Any], principal: Principal, wiring: Wiring
) -> CompiledGraph[Any]:
    """Its graph; as `agent_name`."""
    return wiring.agents.find(agent_name(connection, principal, wiring), principal.tenant.agents)
